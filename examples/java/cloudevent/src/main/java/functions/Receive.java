package functions;

import dev.openfunction.functions.CloudEventFunction;
import dev.openfunction.functions.Context;
import io.cloudevents.CloudEvent;
import java.nio.charset.StandardCharsets;

/** Tells of each event. An error that it returns, and an exception, fail the delivery, so that it is tried again. */
public class Receive implements CloudEventFunction {
    @Override
    public Error accept(Context context, CloudEvent event) {
        String data = event.getData() == null ? "no data" : new String(event.getData().toBytes(), StandardCharsets.UTF_8);
        System.out.println(event.getType() + " from " + event.getSource() + ": " + data);
        return null;
    }
}
