/* Sessions: ports, runs, profiles. */
#include "exports.h"

es_status ES_EXPORT(session_create)(const es_model *model, const char *plan, web_reply *reply)
{
    es_session *session;
    es_status status = es_session_create(model, plan, NULL, &session, &reply->error);
    reply->numbers[0] = web_address(session);
    return status;
}

void ES_EXPORT(session_close)(es_session *session) { es_session_close(session); }
const char *ES_EXPORT(session_error)(const es_session *session) { return es_session_error(session); }
void ES_EXPORT(session_reset)(es_session *session) { es_session_reset(session); }
int ES_EXPORT(session_ends_in_softmax)(const es_session *session) { return es_session_ends_in_softmax(session); }

void ES_EXPORT(session_port_counts)(const es_session *session, web_reply *reply)
{
    uint32_t inputs, outputs;
    es_session_port_counts(session, &inputs, &outputs);
    reply->numbers[0] = inputs;
    reply->numbers[1] = outputs;
}

es_status ES_EXPORT(session_port)(const es_session *session, uint32_t number, web_reply *reply)
{
    es_port port;
    es_status status = es_session_port(session, number, &port);
    if (status) return status;
    const double numbers[] = {web_address(port.name), port.dtype, port.rank, (double)port.bytes, port.nhwc, port.symbolic};
    enum { BEFORE_SHAPE = sizeof numbers / sizeof *numbers };
    for (int i = 0; i < BEFORE_SHAPE; i++) reply->numbers[i] = numbers[i];
    for (uint32_t axis = 0; axis < port.rank; axis++) reply->numbers[BEFORE_SHAPE + axis] = (double)port.shape[axis];
    return ES_OK;
}

es_status ES_EXPORT(session_bind)(es_session *session, uint32_t number, void *data, size_t bytes)
{
    return es_session_bind(session, number, data, bytes);
}

es_status ES_EXPORT(session_run)(es_session *session) { return es_session_run(session); }

void ES_EXPORT(session_set_profiling)(es_session *session, int on) { es_session_set_profiling(session, on); }
uint32_t ES_EXPORT(session_step_count)(const es_session *session) { return es_session_step_count(session); }

es_status ES_EXPORT(session_step)(const es_session *session, uint32_t number, web_reply *reply)
{
    es_step_profile profile;
    es_status status = es_session_step(session, number, &profile);
    if (status) return status;
    reply->numbers[0] = web_address(profile.step);
    reply->numbers[1] = web_address(profile.op);
    reply->numbers[2] = web_address(profile.kernel);
    reply->numbers[3] = (double)profile.runs;
    reply->numbers[4] = (double)profile.nanoseconds;
    reply->numbers[5] = (double)profile.nanoseconds_min;
    reply->numbers[6] = profile.density;
    return ES_OK;
}
