import brave.Tracing;
import brave.baggage.BaggageField;
import brave.baggage.BaggagePropagation;
import brave.baggage.BaggagePropagationConfig.SingleBaggageField;
import brave.propagation.Propagation;
import brave.propagation.TraceContext;
import io.micrometer.tracing.brave.bridge.BraveBaggageManager;
import io.micrometer.tracing.brave.bridge.BraveCurrentTraceContext;
import io.micrometer.tracing.brave.bridge.BravePropagator;
import io.micrometer.tracing.brave.bridge.BraveTraceContext;
import io.micrometer.tracing.brave.bridge.BraveTracer;
import io.micrometer.tracing.brave.bridge.W3CPropagation;
import io.opentelemetry.api.baggage.Baggage;
import io.opentelemetry.api.baggage.propagation.W3CBaggagePropagator;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.propagation.TextMapGetter;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What an agent reads in lines of baggage, and what it writes: see agents.py for the lines of text.
 * The argument is "opentelemetry" or "brave".
 */
public final class Agent {
  private record Seen(Map<String, String> members, String written) {}

  private interface Reader {
    Seen read(List<String> lines);
  }

  private static final TextMapGetter<List<String>> GETTER =
      new TextMapGetter<List<String>>() {
        @Override
        public Iterable<String> keys(List<String> lines) {
          return List.of("baggage");
        }

        @Override
        public String get(List<String> lines, String key) {
          return key.equals("baggage") && !lines.isEmpty() ? lines.get(0) : null;
        }

        public Iterator<String> getAll(List<String> lines, String key) {
          return lines.iterator();
        }
      };

  private static Seen openTelemetry(List<String> lines) {
    W3CBaggagePropagator propagator = W3CBaggagePropagator.getInstance();
    Context context = propagator.extract(Context.root(), lines, GETTER);
    Map<String, String> members = new LinkedHashMap<>();
    Baggage.fromContext(context).forEach((name, entry) -> members.put(name, entry.getValue()));
    String[] written = {""};
    propagator.inject(context, written, (carrier, name, value) -> carrier[0] = value);
    return new Seen(members, written[0]);
  }

  /** As Spring Boot sets it up with management.tracing.baggage.remote-fields=lane. */
  private static Reader brave() {
    BraveBaggageManager manager = new BraveBaggageManager();
    Propagation.Factory factory =
        BaggagePropagation.newFactoryBuilder(new W3CPropagation(manager, List.of()))
            .add(SingleBaggageField.remote(BaggageField.create("lane")))
            .build();
    Tracing tracing = Tracing.newBuilder().propagationFactory(factory).build();
    BravePropagator propagator = new BravePropagator(tracing);
    new BraveTracer(tracing.tracer(), new BraveCurrentTraceContext(tracing.currentTraceContext()), manager);
    return lines -> {
      Map<String, String> carrier =
          Map.of(
              "baggage", String.join(",", lines),
              "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
      TraceContext context =
          BraveTraceContext.toBrave(propagator.extract(carrier, Map::get).start().context());
      Map<String, String> members = new LinkedHashMap<>();
      BaggageField.getAllValues(context)
          .forEach((name, value) -> members.put(name, value == null ? "" : value));
      members.values().removeIf(String::isEmpty);
      Map<String, String> written = new LinkedHashMap<>();
      propagator.inject(BraveTraceContext.fromBrave(context), written, Map::put);
      return new Seen(members, written.getOrDefault("baggage", ""));
    };
  }

  public static void main(String[] arguments) throws Exception {
    Reader reader = arguments[0].equals("brave") ? brave() : Agent::openTelemetry;
    HexFormat hex = HexFormat.of();
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      String[] parts = line.split(" ");
      Charset charset = parts[0].equals("latin-1") ? StandardCharsets.ISO_8859_1 : StandardCharsets.UTF_8;
      List<String> lines = new ArrayList<>();
      for (int index = 1; index < parts.length; index++) {
        lines.add(new String(hex.parseHex(parts[index].substring(1)), charset));
      }
      Seen seen = reader.read(lines);
      StringBuilder answer = new StringBuilder("-");
      answer.append(hex.formatHex(seen.written().getBytes(StandardCharsets.UTF_8)));
      seen.members()
          .forEach(
              (name, value) ->
                  answer
                      .append(" -")
                      .append(hex.formatHex(name.getBytes(StandardCharsets.UTF_8)))
                      .append("=")
                      .append(hex.formatHex(value.getBytes(StandardCharsets.UTF_8))));
      System.out.println(answer);
    }
  }
}
