package functions;

import dev.openfunction.functions.Context;
import dev.openfunction.functions.OpenFunction;
import dev.openfunction.functions.Out;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Locale;

/** Answers in capitals, to requests and to the events of its inputs, and sends the same to each output. */
public class Shout implements OpenFunction {
    @Override
    @SuppressWarnings("deprecation")
    public Out accept(Context context, String payload) {
        String loud = payload.toUpperCase(Locale.ROOT);
        for (String output : context.getOutputs().keySet()) {
            Error error = context.send(output, loud);
            if (error != null) {
                return new Out().setError(error);
            }
        }
        return new Out().setCode(200).setData(ByteBuffer.wrap(loud.getBytes(StandardCharsets.UTF_8)));
    }
}
