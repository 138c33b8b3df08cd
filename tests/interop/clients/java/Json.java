// SPDX-License-Identifier: Apache-2.0

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads the list of scenarios: maps, lists, strings, booleans and integers (Integer, or Long where it must be). */
final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    static Object read(String text) {
        return new Json(text).value();
    }

    private char next() {
        while (Character.isWhitespace(text.charAt(at)))
            at++;
        return text.charAt(at);
    }

    private boolean take(char wanted) {
        if (next() != wanted)
            return false;
        at++;
        return true;
    }

    private Object value() {
        switch (next()) {
        case '{':
            return map();
        case '[':
            return list();
        case '"':
            return string();
        case 't':
            at += 4;
            return true;
        case 'f':
            at += 5;
            return false;
        case 'n':
            at += 4;
            return null;
        default:
            return number();
        }
    }

    private Map<String, Object> map() {
        Map<String, Object> found = new LinkedHashMap<>();
        take('{');
        while (!take('}')) {
            next();
            String key = string();
            take(':');
            found.put(key, value());
            take(',');
        }
        return found;
    }

    private List<Object> list() {
        List<Object> found = new ArrayList<>();
        take('[');
        while (!take(']')) {
            found.add(value());
            take(',');
        }
        return found;
    }

    private String string() {
        StringBuilder found = new StringBuilder();
        for (at++; text.charAt(at) != '"'; at++) {
            char c = text.charAt(at);
            if (c == '\\' && text.charAt(++at) == 'u') {
                c = (char) Integer.parseInt(text.substring(at + 1, at + 5), 16);
                at += 4;
            } else if (c == '\\') {
                c = "\"\\/\b\f\n\r\t".charAt("\"\\/bfnrt".indexOf(text.charAt(at)));
            }
            found.append(c);
        }
        at++;
        return found.toString();
    }

    private Object number() {
        int begin = at;
        while (at < text.length() && "-0123456789".indexOf(text.charAt(at)) >= 0)
            at++;
        long found = Long.parseLong(text.substring(begin, at));
        return (int) found == found ? (Object) (int) found : (Object) found;
    }
}
