package edgesparse.sample;

import android.app.Activity;
import android.content.Intent;
import android.graphics.Bitmap;
import android.os.Bundle;
import android.widget.Button;
import android.widget.EditText;
import android.widget.LinearLayout;
import android.widget.ScrollView;
import android.widget.TextView;
import edgesparse.EdgeSparse;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** One screen: a picture to recognise, and a beginning to continue. */
public final class MainActivity extends Activity {
    private static final int PICTURE = 1;

    /** One thread that waits for models, so that the screen never does. */
    private final ExecutorService worker = Executors.newSingleThreadExecutor();

    private Classifier classifier;
    private Writer writer;
    private TextView answer;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        classifier = new Classifier(getAssets(), "digits.egs");
        writer = new Writer(getAssets(), "shakespeare.egs");
        setContentView(screen());
        show("edge_sparse " + EdgeSparse.version() + ", " + EdgeSparse.cpu());
    }

    @Override
    protected void onDestroy() {
        // Ends what still runs; the worker then finds closed models and stops.
        writer.close();
        classifier.close();
        worker.shutdown();
        super.onDestroy();
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        if (request != PICTURE || result != RESULT_OK || data == null) return;
        run(() -> {
            Bitmap picture = Pictures.read(getContentResolver(), data.getData());
            show(classifier.describe(picture));
        });
    }

    private ScrollView screen() {
        Button pick = new Button(this);
        pick.setText(R.string.pick);
        pick.setOnClickListener(view -> startActivityForResult(Pictures.pick(), PICTURE));
        EditText prompt = new EditText(this);
        prompt.setText("ROMEO:");
        Button write = new Button(this);
        write.setText(R.string.write);
        write.setOnClickListener(view -> write(prompt.getText().toString()));
        Button stop = new Button(this);
        stop.setText(R.string.stop);
        stop.setOnClickListener(view -> writer.cancel());
        answer = new TextView(this);
        answer.setTextIsSelectable(true);
        LinearLayout column = new LinearLayout(this);
        column.setOrientation(LinearLayout.VERTICAL);
        column.addView(pick);
        column.addView(prompt);
        column.addView(write);
        column.addView(stop);
        column.addView(answer);
        ScrollView screen = new ScrollView(this);
        screen.addView(column);
        return screen;
    }

    private void write(String prompt) {
        writer.cancel();
        run(() -> {
            show(prompt);
            String statistics = writer.write(prompt, this::append);
            append("\n\n" + statistics);
        });
    }

    /** Something to do in the background; what goes wrong is shown. */
    private interface Task {
        void run() throws Exception;
    }

    private void run(Task task) {
        worker.execute(() -> {
            try {
                task.run();
            } catch (Exception failure) {
                show(String.valueOf(failure.getMessage()));
            }
        });
    }

    private void show(String text) {
        runOnUiThread(() -> answer.setText(text));
    }

    private void append(String text) {
        runOnUiThread(() -> answer.append(text));
    }
}
