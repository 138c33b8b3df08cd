// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.Callable;

/** Scenario names on standard input, one answer a line; see ../../scenarios.toml. */
final class Harness {
    interface Does {
        void run() throws Exception;
    }

    interface Role {
        void run(String[] arguments) throws Exception;
    }

    static final class Failed extends RuntimeException {
        Failed(String why) {
            super(why);
        }
    }

    private static final Map<String, Does> scenarios = new HashMap<>();
    private static final Map<String, Role> roles = new HashMap<>();
    private static Map<?, ?> listed;
    private static int numbers;

    static void scenario(String name, Does does) {
        scenarios.put(name, does);
    }

    static void role(String name, Role does) {
        roles.put(name, does);
    }

    static Map<String, Object> expect(String name) {
        return map(((Map<?, ?>) listed.get(name)).get("expect"));
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> map(Object value) {
        return value == null ? Map.of() : (Map<String, Object>) value;
    }

    @SuppressWarnings("unchecked")
    static <T> List<T> list(Object value) {
        return value == null ? List.of() : (List<T>) value;
    }

    static int number(String name, String key) {
        return (Integer) expect(name).get(key);
    }

    /** A name that no other client or scenario uses. */
    static synchronized String unique(String kind) {
        return "t." + System.getenv("INTEROP_TOKEN") + "." + kind + "." + ++numbers;
    }

    static void same(Object found, Object wanted, String what) {
        if (!Objects.equals(found, wanted))
            throw new Failed(what + ": found " + found + ", expected " + wanted);
    }

    static void check(boolean condition, String what) {
        if (!condition)
            throw new Failed(what);
    }

    static void eventually(String what, int timeoutMs, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + timeoutMs * 1_000_000L;
        while (!condition.call()) {
            check(System.nanoTime() < deadline, what + ": not within " + timeoutMs + " ms");
            Thread.sleep(5);
        }
    }

    static byte[] bodyOf(int size, int seed) {
        byte[] body = new byte[size];
        new Random(seed).nextBytes(body);
        return body;
    }

    static String digest(byte[] body) throws Exception {
        return new java.math.BigInteger(1, MessageDigest.getInstance("SHA-256").digest(body)).toString(16);
    }

    /** Another process of this client that plays a role, once it is where the scenario wants it. */
    static Process child(String... words) throws Exception {
        List<String> command = new ArrayList<>(List.of(ProcessHandle.current().info().command().get(), "-cp",
            System.getProperty("java.class.path"), "Harness"));
        command.addAll(List.of(words));
        Process process =
            new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        String said = new BufferedReader(new InputStreamReader(process.getInputStream())).readLine();
        if (!"there".equals(said)) {
            end(process);
            throw new Failed("the child process (" + words[0] + ") said " + said);
        }
        return process;
    }

    static void there() {
        System.out.println("there");
    }

    static void stop(Process process) throws Exception {
        same(new ProcessBuilder("/bin/sh", "-c", "kill -STOP " + process.pid()).start().waitFor(), 0, "kill -STOP");
    }

    static void end(Process process) throws InterruptedException {
        process.destroyForcibly();
        process.waitFor();
    }

    private static void one(String name) {
        try {
            scenarios.get(name).run();
            System.out.println("ok " + name);
        } catch (Throwable problem) {
            System.out.println("not ok " + name + " - " + problem.toString().replaceAll("\\s+", " "));
            for (StackTraceElement place : problem.getStackTrace())
                System.out.println("# " + place);
        }
    }

    public static void main(String[] arguments) throws Exception {
        listed = (Map<?, ?>) Json.read(Files.readString(Path.of(System.getenv("SCENARIOS"))));
        Messages.add();
        Exchanges.add();
        Queues.add();
        Connections.add();
        if (arguments.length > 0) {
            roles.get(arguments[0]).run(arguments);
            return;
        }
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine())
            one(line.trim());
        System.exit(0);
    }
}
