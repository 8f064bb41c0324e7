package laneway;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.web.client.RestTemplateBuilder;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.RestTemplate;

/** Answers like app.py of the mesh: who it is, and whom it called. Hands on what Micrometer Tracing hands on. */
@SpringBootApplication
@RestController
public class Passing {
    private final RestTemplate rest;
    private final String name;
    private final String next;

    Passing(RestTemplateBuilder builder, @Value("${app.name}") String name, @Value("${app.next}") String next) {
        this.rest = builder.build();
        this.name = name;
        this.next = next;
    }

    @GetMapping("/**")
    Map<String, Object> answer() {
        Map<?, ?> called = rest.getForObject(next, Map.class);
        List<Object> chain = new ArrayList<>(List.of(name));
        chain.addAll((List<?>) called.get("chain"));
        return Map.of("name", name, "headers", List.of(), "chain", chain, "next", called);
    }

    public static void main(String[] args) {
        SpringApplication.run(Passing.class, args);
    }
}
