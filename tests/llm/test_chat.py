"""Chat: templates render as in transformers, stay in their sandbox, and the conversation reaches the model."""

import importlib.util

import pytest
from small_decoder import open_small

from edge_sparse.errors import InputError, MissingExtraError
from edge_sparse.llm import template_worker
from edge_sparse.llm.chat import PLAIN_STOP, chat_prompt
from edge_sparse.tokenizer import Tokenizer

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi <b> 'you' é"},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "Bye"},
]
TEMPLATE = """\
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- endif %}
[{{ system }}]
{% for message in messages %}
    {% if loop.index0 > 9 %}{% break %}{% endif %}
    {% if message.role not in ['user', 'assistant'] %}{{ raise_exception('no such role') }}{% endif %}
{{ message['role'] }}: {{ message | tojson }}{{ eos_token }}
{% endfor %}
{%- if add_generation_prompt %}
{{- 'assistant:' }}
{%- endif %}
"""


def test_templates_render_as_in_transformers():
    chat = pytest.importorskip("transformers.utils.chat_template_utils")
    expected, _ = chat.render_jinja_template(
        [MESSAGES], chat_template=TEMPLATE, add_generation_prompt=True, bos_token="<s>", eos_token="</s>"
    )
    assert chat_prompt(MESSAGES, TEMPLATE, bos="<s>", eos="</s>").text == expected[0]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"edge_sparse\[llm\]"):
        chat_prompt(MESSAGES, TEMPLATE)


def test_without_a_template_a_plain_dialogue_is_written():
    prompt = chat_prompt(MESSAGES)
    assert prompt.text == "System: Be brief.\nUser: Hi <b> 'you' é\nAssistant: Yes?\nUser: Bye\nAssistant:"
    assert prompt.stop == (PLAIN_STOP,)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('not like this') }}", "not like this"),
        ("{% for %}", "TemplateSyntaxError"),
        ("{{ nothing.at.all }}", "UndefinedError"),
        ("{{ messages.__class__.__mro__[-1].__subclasses__() }}", "SecurityError"),
        ("{{ messages.append(1) }}", "SecurityError"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{% for m in range(90000) %}{{ 'x' * 100 }}{% endfor %}", "characters"),
        ("{{ 'x' * 10000000000 }}", "MiB|MemoryError|memory"),
    ],
)
def test_broken_and_hostile_templates_are_named(template, words):
    with pytest.raises(InputError, match=words) as error:
        chat_prompt(MESSAGES, template)
    assert error.value.code == "CHAT_TEMPLATE"


def test_endless_templates_are_stopped(monkeypatch):
    assert template_worker.SECONDS_LIMIT <= 5
    loops = "".join(f"{{% for a{n} in range(90000) %}}" for n in range(4)) + "{% endfor %}" * 4
    with pytest.raises(InputError, match="too long") as error:
        chat_prompt(MESSAGES, loops)
    assert error.value.code == "CHAT_TEMPLATE"


@pytest.mark.parametrize(
    "messages", [[], [{"role": "user"}], [{"role": "boss", "content": "x"}], [{"role": "user", "content": 3}]]
)
def test_wrong_messages_are_named(messages):
    with pytest.raises(InputError) as error:
        chat_prompt(messages)
    assert error.value.code == "CHAT_MESSAGES"


def test_conversations_are_answered_and_reused():
    with open_small() as model:
        messages = [{"role": "user", "content": "ab"}]
        first = model.chat(messages, max_tokens=3)
        prompt = model.generate("User: ab\nAssistant:", max_tokens=3)
        assert first.tokens == prompt.tokens
        again = model.chat(
            [*messages, {"role": "assistant", "content": "c"}, {"role": "user", "content": "d"}],
            max_tokens=2,
            on_full="roll",
        )
        assert again.stats.reused_tokens == 1 + len("User: ab\nAssistant:")


def test_templates_that_write_bos_do_not_double_it():
    pieces = (b"<s>", *(bytes([byte]) for byte in range(1, 255)))
    record = Tokenizer(
        3,
        pieces,
        bos=0,
        add_bos=True,
        marks=bytes([3]) + bytes(254),
        temperature=0.0,
        chat_template="{{ bos_token }}{{ messages[-1].content }}",
    )
    pytest.importorskip("tokenizers")
    with open_small(tokenizer=record) as model:
        said = model.chat([{"role": "user", "content": "ab"}], max_tokens=2)
        assert said.stats.prompt_tokens == 3
        assert said.tokens == model.generate([0, *b"ab"], max_tokens=2).tokens
