import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** Sends messages to a topic, to one partition after the other: BROKER TOPIC PARTITIONS MESSAGE... */
public class Produce {
    public static void main(String[] args) {
        var settings = new Properties();
        settings.put("bootstrap.servers", args[0]);
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (int i = 3; i < args.length; i++) {
                producer.send(new ProducerRecord<>(args[1], i % Integer.parseInt(args[2]), null, args[i]), (sent, failure) -> {
                    if (failure != null) {
                        System.err.println(failure);
                        System.exit(1);
                    }
                });
            }
        }
    }
}
