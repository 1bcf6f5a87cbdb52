import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** The JDK's own client as a client of tests: java Visit.java URL visit [SUBPROTOCOL], see realclients.go. */
public class Visit {
    static final String[] SAID = {"", "short", "x".repeat(300), "y".repeat(70_000)};

    public static void main(String[] args) throws Exception {
        if (!args[1].equals("visit")) throw new IllegalArgumentException(args[1]);
        BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        var listener = new WebSocket.Listener() {
            final StringBuilder text = new StringBuilder();

            @Override
            public CompletionStage<?> onText(WebSocket ws, CharSequence part, boolean isLast) {
                text.append(part);
                if (isLast) {
                    heard.add(text.toString());
                    text.setLength(0);
                }
                ws.request(1);
                return null;
            }

            @Override
            public CompletionStage<?> onClose(WebSocket ws, int code, String reason) {
                heard.add("closed " + code + " " + reason);
                return null;
            }

            @Override
            public void onError(WebSocket ws, Throwable err) {
                heard.add("error " + err);
            }
        };
        var builder = HttpClient.newHttpClient().newWebSocketBuilder();
        if (args.length > 2) builder.subprotocols(args[2]);
        WebSocket ws = builder.buildAsync(URI.create(args[0]), listener).get(20, TimeUnit.SECONDS);
        if (args.length > 2 && !ws.getSubprotocol().equals(args[2])) throw new IllegalStateException("the subprotocol is " + ws.getSubprotocol());
        for (String text : SAID) {
            ws.sendText(text, true).get(20, TimeUnit.SECONDS);
            String echo = heard.poll(20, TimeUnit.SECONDS);
            if (!text.equals(echo)) throw new IllegalStateException(text.length() + " characters did not come back");
        }
        ws.sendClose(1000, "bye").get(20, TimeUnit.SECONDS);
        System.out.println(heard.poll(20, TimeUnit.SECONDS));
        System.exit(0);
    }
}
