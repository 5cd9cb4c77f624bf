import dev.openfunction.functions.Routable;
import dev.openfunction.functions.TypedFunction;

/** Counts one further: {"count":1} becomes {"count":2}. */
public class Count extends Routable implements TypedFunction<Count.Counted, Count.Counted> {
    public record Counted(int count) {}

    @Override
    public String getPath() {
        return "/count";
    }

    @Override
    public Counted apply(Counted in) {
        return new Counted(in.count() + 1);
    }
}
