# SPDX-License-Identifier: Apache-2.0
"""What a broker says, word for word, while a connection is negotiated, and where frames and channels meet the
limits that were agreed.

A case is (name, state, steps, said). States: start (the broker's start has come), tune (its tune has come),
tuned (tune-ok was sent), open, channel (channel 1 is open). steps: bytes to send, or words of a line that is
awaited. said: what the broker said after that state, as lines of conversation.describe(), until the end or
close-ok; RabbitMQ's octets of a frame's payload are left out (...). F, C and H are the
frame_max, the channel_max and the heartbeat that the broker proposes."""
import struct

from conversation import CLOSE_OK, END, OVER
from pika import spec
from wire import HEARTBEAT, METHOD, UpdateSecretOk, body, content_header, method, raw_frame, start_ok

CLOSE = method(0, spec.Connection.Close(200, "", 0, 0))
OPEN = method(0, spec.Connection.Open("/"))
SILENCE = [END]
WORKS = ["0 Connection.OpenOk", OVER]
BEATS = ["0 Connection.OpenOk", "heartbeat", OVER]
LOGS_IN = ["0 Connection.Tune", *WORKS]
REFUSED = "1 Channel.Close 404 50/10 NOT_FOUND - no queue 'nowhere' in vhost '/'"


def close(code, class_id, method_id, text):
    return "0 Connection.Close %d %d/%d %s" % (code, class_id, method_id, text)


def misplaced(class_id, method_id, state):
    return close(504, class_id, method_id, "CHANNEL_ERROR - unexpected method in connection state " + state)


def too_large(kind, size, most):
    return close(501, 0, 0, "FRAME_ERROR - type %d, all octets = <<>>: {frame_too_large,%d,%d}" % (kind, size, most))


def beyond(number, most):
    return close(530, 20, 10, "NOT_ALLOWED - channel number %d is greater than the negotiated channel_max (%d)" % (
        number, most))


SECOND_OPEN = close(504, 20, 10, "CHANNEL_ERROR - second 'channel.open' seen")
NO_METHOD = close(505, 0, 0, "UNEXPECTED_FRAME - expected method frame, got non method frame instead")


def tune_ok(channel_max, frame_max, heartbeat=0):
    return method(0, spec.Connection.TuneOk(channel_max, frame_max, heartbeat))


def start_ok_raw(properties, mechanism=b"PLAIN", response=b"\0guest\0guest", locale=b"en_US"):
    """start-ok whose client-properties are any bytes, their length in front."""
    return raw_frame(METHOD, 0, struct.pack(">HH", 10, 11) + properties + struct.pack("B", len(mechanism)) +
                     mechanism + struct.pack(">I", len(response)) + response +
                     struct.pack("B", len(locale)) + locale)


def table(entries):
    return struct.pack(">I", len(entries)) + entries


CAPABLE = b"\x0ccapabilitiesF" + table(b"\x1cauthentication_failure_closet\x01")
AMQPLAIN = b"\x05LOGINS" + table(b"guest") + b"\x08PASSWORDS" + table(b"guest")


def capable(value):
    """client-properties with the capability connection.blocked."""
    return table(b"\x0ccapabilitiesF" + table(b"\x12connection.blocked" + value))


def long_text(name, length):
    return struct.pack("B", len(name)) + name + b"S" + table(b"x" * length)


def channel_open(number=1):
    return method(number, spec.Channel.Open())


def channel_close(number=1):
    return method(number, spec.Channel.Close(200, "", 0, 0))


def qos(number=1):
    return method(number, spec.Basic.Qos(prefetch_count=1))


SECRET = struct.pack(">HH", 10, 70) + table(b"s") + b"\1r"
UPDATE_SECRET = raw_frame(METHOD, 0, SECRET)
RENEWED = ["0 Connection.UpdateSecretOk", OVER]
SECURE_OK = method(0, spec.Connection.SecureOk("x"))
BAD = method(1, spec.Queue.Declare(queue="nowhere", passive=True))


def update_secret(secret, reason):
    return raw_frame(METHOD, 0, struct.pack(">HH", 10, 70) + table(secret) + struct.pack("B", len(reason)) + reason)


def over(F, octets):
    """A message whose body frame is longer than frame_max by so many octets."""
    size = F - 8 + octets
    return (method(1, spec.Basic.Publish(exchange="", routing_key="nowhere")) + content_header(1, size) +
            body(1, b"x" * size) + CLOSE)


def cases(F, C, H):
    return [
        # -- tune-ok
        ("tune_equal", "tune", [tune_ok(C, F) + OPEN + CLOSE], WORKS),
        ("tune_smaller", "tune", [tune_ok(1, 4096) + OPEN + CLOSE], WORKS),
        ("tune_frame_max_0", "tune", [tune_ok(C, 0) + OPEN], SILENCE),
        ("tune_channel_max_0", "tune", [tune_ok(0, F) + OPEN], SILENCE),
        ("tune_both_0", "tune", [tune_ok(0, 0) + OPEN], SILENCE),
        ("tune_frame_max_larger", "tune", [tune_ok(C, F + 1) + OPEN], SILENCE),
        ("tune_channel_max_larger", "tune", [tune_ok(C + 1, F) + OPEN], SILENCE),
        ("tune_both_larger", "tune", [tune_ok(65535, 0xFFFFFFFF) + OPEN], SILENCE),
        ("tune_frame_max_4095", "tune", [tune_ok(C, 4095) + OPEN], SILENCE),
        ("tune_frame_max_1", "tune", [tune_ok(C, 1) + OPEN], SILENCE),
        ("tune_frame_max_small_channel_max_0", "tune", [tune_ok(0, 1) + OPEN], SILENCE),
        ("tune_heartbeat_0", "tune", [tune_ok(C, F, 0) + OPEN + CLOSE], WORKS),
        ("tune_heartbeat_1", "tune", [tune_ok(C, F, 1) + OPEN, "heartbeat", CLOSE], BEATS),
        ("tune_heartbeat_2", "tune", [tune_ok(C, F, 2) + OPEN, "heartbeat", CLOSE], BEATS),
        ("tune_heartbeat_1_silent", "tune", [tune_ok(C, F, 1) + OPEN], [*BEATS[:-1], END]),
        ("tune_heartbeat_1_never_opened", "tune", [tune_ok(C, F, 1)], ["heartbeat", END]),
        ("tune_heartbeat_half", "tune", [tune_ok(C, F, H // 2) + OPEN + CLOSE], WORKS),
        ("tune_heartbeat_equal", "tune", [tune_ok(C, F, H) + OPEN + CLOSE], WORKS),
        ("tune_heartbeat_larger", "tune", [tune_ok(C, F, H + 1) + OPEN + CLOSE], WORKS),
        ("tune_heartbeat_65535", "tune", [tune_ok(C, F, 65535) + OPEN + CLOSE], WORKS),
        ("tune_ok_twice", "tuned", [tune_ok(C, F) + OPEN], [misplaced(10, 31, "opening"), END]),
        ("tune_ok_after_open", "open", [tune_ok(C, F)], [misplaced(10, 31, "running"), END]),
        ("tune_refused_close_ok_absent", "tune", [tune_ok(0, F), "Connection.Close", OPEN + qos() + CLOSE_OK], SILENCE),
        ("tune_refused_close", "tune", [tune_ok(0, F), "Connection.Close", CLOSE], SILENCE),
        ("open_before_tune_ok", "tune", [OPEN], SILENCE),
        ("open_before_start_ok", "start", [OPEN], SILENCE),
        ("tune_ok_before_start_ok", "start", [tune_ok(C, F)], SILENCE),
        ("start_ok_twice", "tune", [start_ok()], SILENCE),
        ("start_ok_after_tune_ok", "tuned", [start_ok()], [misplaced(10, 11, "opening"), END]),
        ("secure_ok_at_start", "start", [SECURE_OK], SILENCE),
        ("secure_ok_at_tune", "tune", [SECURE_OK], SILENCE),
        ("secure_ok_open", "open", [SECURE_OK], [misplaced(10, 21, "running"), END]),
        ("close_at_start", "start", [CLOSE], [OVER]),
        ("close_at_tune", "tune", [CLOSE], [OVER]),
        ("close_at_tuned", "tuned", [CLOSE], [OVER]),
        ("close_ok_open", "open", [CLOSE_OK, "Connection.Close", CLOSE_OK], [misplaced(10, 51, "running"), END]),
        ("update_secret_at_tune", "tune", [UPDATE_SECRET],
         SILENCE),
        ("update_secret_at_tuned", "tuned", [UPDATE_SECRET],
         [misplaced(10, 70, "opening"), END]),
        ("update_secret_at_start", "start", [UPDATE_SECRET], SILENCE),
        ("update_secret", "open", [UPDATE_SECRET, "UpdateSecretOk", CLOSE], RENEWED),
        ("update_secret_empty", "open", [update_secret(b"", b""), "UpdateSecretOk", CLOSE], RENEWED),
        ("update_secret_long", "open", [update_secret(bytes(range(256)) * 200, b"r" * 255), "UpdateSecretOk", CLOSE], RENEWED),
        ("update_secret_twice", "open", [UPDATE_SECRET * 2, "UpdateSecretOk", "UpdateSecretOk", CLOSE],
         [RENEWED[0], *RENEWED]),
        ("update_secret_channel_1", "channel", [raw_frame(METHOD, 1, SECRET)],
         [close(503, 10, 70, 'COMMAND_INVALID - unimplemented method'), END]),
        ("update_secret_channel_unopened", "open", [raw_frame(METHOD, 3, SECRET)],
         [close(504, 10, 70, "CHANNEL_ERROR - expected 'channel.open'"), END]),
        ("update_secret_between_content", "channel", [method(1, spec.Basic.Publish(exchange="", routing_key="nowhere")) +
         content_header(1, 1) + UPDATE_SECRET + body(1, b"x") + qos(), "QosOk", CLOSE],
         [RENEWED[0], "1 Basic.QosOk", OVER]),
        ("update_secret_short", "open", [raw_frame(METHOD, 0, SECRET[:8])],
         [close(502, 10, 70, 'SYNTAX_ERROR...'), END]),
        ("update_secret_ok_open", "open", [method(0, UpdateSecretOk())], [misplaced(10, 71, "running"), END]),
        ("update_secret_closing", "channel", [channel_open(0), "Connection.Close", UPDATE_SECRET + CLOSE_OK],
         [misplaced(20, 10, "running"), END]),
        # -- blocked
        ("blocked_capable", "start", [start_ok_raw(capable(b"t\x01")), "Connection.Tune", tune_ok(C, F) + OPEN + CLOSE],
         LOGS_IN),
        ("blocked_incapable", "start", [start_ok_raw(capable(b"t\x00")), "Connection.Tune", tune_ok(C, F) + OPEN + CLOSE],
         LOGS_IN),
        ("blocked_no_bool", "start", [start_ok_raw(capable(b"I\0\0\0\1")), "Connection.Tune",
         tune_ok(C, F) + OPEN + CLOSE],
         LOGS_IN),
        ("blocked_by_client", "open", [method(0, spec.Connection.Blocked("x"))], [misplaced(10, 60, "running"), END]),
        ("unblocked_by_client", "open", [method(0, spec.Connection.Unblocked())], [misplaced(10, 61, "running"), END]),
        ("channel_open_at_start", "start", [channel_open()], SILENCE),
        ("channel_open_at_tune", "tune", [channel_open()], SILENCE),
        ("channel_open_at_tuned", "tuned", [channel_open()], [close(505, 0, 0, 'UNEXPECTED_FRAME - type 1...'), END]),
        ("heartbeat_at_tune", "tune", [raw_frame(HEARTBEAT, 0, b"") + tune_ok(C, F) + OPEN + CLOSE], WORKS),
        ("heartbeat_at_start", "start", [raw_frame(HEARTBEAT, 0, b"") + start_ok(), "Connection.Tune", tune_ok(C,
         F) + OPEN + CLOSE],
         LOGS_IN),
        ("vhost_unknown", "tuned", [method(0, spec.Connection.Open("nowhere"))],
         [close(530, 10, 40, 'NOT_ALLOWED - vhost nowhere not found'), END]),
        ("vhost_unknown_then_close_ok_lost", "tuned", [method(0, spec.Connection.Open("nowhere")), "Connection.Close",
         CLOSE + CLOSE_OK],
         [close(530, 10, 40, 'NOT_ALLOWED - vhost nowhere not found'), OVER]),
        # -- login
        ("locale_other", "start", [start_ok_raw(table(CAPABLE), locale=b"de_DE"), "Connection.Tune", tune_ok(C,
         F) + OPEN + CLOSE],
         LOGS_IN),
        ("locale_empty", "start", [start_ok_raw(table(CAPABLE), locale=b""), "Connection.Tune", tune_ok(C,
         F) + OPEN + CLOSE],
         LOGS_IN),
        ("mechanism_external", "start", [start_ok_raw(table(CAPABLE), mechanism=b"EXTERNAL")], SILENCE),
        ("mechanism_empty", "start", [start_ok_raw(table(CAPABLE), mechanism=b"")], SILENCE),
        ("mechanism_lower", "start", [start_ok_raw(table(CAPABLE), mechanism=b"plain")], SILENCE),
        ("mechanism_unknown_incapable", "start", [start_ok_raw(table(b""), mechanism=b"NONE")], SILENCE),
        ("plain_wrong", "start", [start_ok_raw(table(CAPABLE), response=b"\0guest\0wrong")],
         [close(403, 0, 0, 'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.'), END]),
        ("plain_wrong_incapable", "start", [start_ok_raw(table(b""), response=b"\0guest\0wrong")], SILENCE),
        ("plain_empty", "start", [start_ok_raw(table(CAPABLE), response=b"")], SILENCE),
        ("plain_no_nul", "start", [start_ok_raw(table(CAPABLE), response=b"guest")], SILENCE),
        ("plain_one_nul", "start", [start_ok_raw(table(CAPABLE), response=b"\0guest")], SILENCE),
        ("plain_three_nuls", "start", [start_ok_raw(table(CAPABLE), response=b"\0guest\0guest\0")], SILENCE),
        ("plain_empty_incapable", "start", [start_ok_raw(table(b""), response=b"")], SILENCE),
        ("plain_identity", "start", [start_ok_raw(table(CAPABLE), response=b"other\0guest\0guest"), "Connection.Tune",
         tune_ok(C, F) + OPEN + CLOSE],
         SILENCE),
        ("amqplain", "start", [start_ok_raw(table(CAPABLE), mechanism=b"AMQPLAIN", response=AMQPLAIN),
         "Connection.Tune", tune_ok(C, F) + OPEN + CLOSE],
         LOGS_IN),
        ("amqplain_empty", "start", [start_ok_raw(table(CAPABLE), mechanism=b"AMQPLAIN", response=b"")], SILENCE),
        ("amqplain_no_password", "start", [start_ok_raw(table(CAPABLE), mechanism=b"AMQPLAIN", response=AMQPLAIN[:16])],
         SILENCE),
        ("amqplain_bad_table", "start", [start_ok_raw(table(CAPABLE), mechanism=b"AMQPLAIN",
         response=b"\x05LOGINS\0\0\0\1")],
         SILENCE),
        ("amqplain_login_int", "start", [start_ok_raw(table(CAPABLE), mechanism=b"AMQPLAIN",
         response=b"\x05LOGINI\0\0\0\1" + AMQPLAIN[16:])],
         SILENCE),
        ("amqplain_wrong", "start", [start_ok_raw(table(CAPABLE), mechanism=b"AMQPLAIN",
         response=AMQPLAIN[:-1] + b"x")],
         [close(403, 0, 0, 'ACCESS_REFUSED - Login was refused using authentication mechanism AMQPLAIN. For details see the broker logfile.'), END]),
        ("properties_large", "start", [start_ok_raw(table(CAPABLE + long_text(b"k", 3900))), "Connection.Tune",
         tune_ok(C, F) + OPEN + CLOSE],
         LOGS_IN),
        ("properties_over_4096", "start", [start_ok_raw(table(CAPABLE + long_text(b"k", 5000))), "Connection.Tune",
         tune_ok(C, F) + OPEN + CLOSE],
         LOGS_IN),
        ("properties_over_8192", "start", [start_ok_raw(table(CAPABLE + long_text(b"k", 9000))), "Connection.Tune",
         tune_ok(C, F) + OPEN + CLOSE],
         SILENCE),
        ("properties_over_131072", "start", [start_ok_raw(table(CAPABLE + long_text(b"k", 140000))),
         "Connection.Tune", tune_ok(C, F) + OPEN + CLOSE],
         SILENCE),
        ("properties_malformed", "start", [start_ok_raw(table(b"\x01k\xff"))], SILENCE),
        ("properties_beyond_frame", "start", [start_ok_raw(struct.pack(">I", 5000) + b"x")], SILENCE),
        ("capabilities_no_table", "start", [start_ok_raw(table(b"\x0ccapabilitiest\x01")), "Connection.Tune",
         tune_ok(C, F) + OPEN + CLOSE],
         LOGS_IN),
        ("capability_no_bool", "start",
         [start_ok_raw(table(b"\x0ccapabilitiesF" + table(b"\x1cauthentication_failure_closeI\0\0\0\1")), response=b"\0guest\0x")],
         SILENCE),
        # -- frames
        ("frame_type_99", "channel", [raw_frame(99, 1, b"x")], [close(501, 0, 0, 'FRAME_ERROR - type 99...'), END]),
        ("frame_type_99_channel_0", "open", [raw_frame(99, 0, b"x")],
         [close(501, 0, 0, 'FRAME_ERROR - type 99...'), END]),
        ("frame_type_99_unopened", "open", [raw_frame(99, 5, b"x")],
         [close(501, 0, 0, 'FRAME_ERROR - type 99...'), END]),
        ("frame_type_4", "channel", [raw_frame(4, 1, b"x")], [close(501, 0, 0, 'FRAME_ERROR - type 4...'), END]),
        ("frame_type_99_start", "start", [raw_frame(99, 0, b"x")], SILENCE),
        ("frame_type_99_tune", "tune", [raw_frame(99, 0, b"x")], SILENCE),
        ("frame_end_wrong", "channel", [qos()[:-1] + b"\x00"], [close(501, 0, 0, 'FRAME_ERROR - type 1...'), END]),
        ("frame_end_wrong_tune", "tune", [tune_ok(C, F)[:-1] + b"\x00"], SILENCE),
        ("frame_end_wrong_start", "start", [start_ok()[:-1] + b"\x00"], SILENCE),
        ("frame_exact", "channel", [over(F, 0)],
         [OVER]),
        ("frame_over_by_1", "channel", [over(F, 1)],
         [OVER]),
        ("frame_over_by_8", "channel", [over(F, 8)],
         [OVER]),
        ("frame_over_by_9", "channel", [over(F, 9)],
         [too_large(3, F + 1, F - 8), END]),
        ("frame_over_method", "channel", [raw_frame(METHOD, 1, struct.pack(">HH", 60, 10), size=F + 1)],
         [too_large(1, F + 1, F - 8), END]),
        ("frame_over_unopened", "open", [raw_frame(METHOD, 3, struct.pack(">HH", 60, 10), size=F + 1)],
         [too_large(1, F + 1, F - 8), END]),
        ("frame_over_channel_0", "open", [raw_frame(METHOD, 0, struct.pack(">HH", 60, 10), size=F + 1)],
         [too_large(1, F + 1, F - 8), END]),
        ("frame_over_start", "start", [raw_frame(METHOD, 0, b"", size=0x7FFFFFFF)], SILENCE),
        ("frame_over_tuned", "tuned", [raw_frame(METHOD, 0, b"", size=0x7FFFFFFF)],
         [too_large(1, 0x7FFFFFFF, F - 8), END]),
        ("frame_over_small_agreed", "tune", [tune_ok(C, 4096) + OPEN + raw_frame(METHOD, 1, b"", size=4097)],
         ["0 Connection.OpenOk", too_large(1, 4097, 4088), END]),
        ("heartbeat_channel_1", "channel", [raw_frame(HEARTBEAT, 1, b"")],
         [close(501, 0, 0, 'FRAME_ERROR - heartbeat on a channel other than 0'), END]),
        ("heartbeat_channel_unopened", "open", [raw_frame(HEARTBEAT, 5, b"")],
         [close(501, 0, 0, 'FRAME_ERROR - heartbeat on a channel other than 0'), END]),
        ("heartbeat_payload", "open", [raw_frame(HEARTBEAT, 0, b"xyz")],
         [close(501, 0, 0, 'FRAME_ERROR - type 8...'), END]),
        ("method_empty", "channel", [raw_frame(METHOD, 1, b"")], [close(501, 0, 0, 'FRAME_ERROR - type 1...'), END]),
        ("method_of_3", "channel", [raw_frame(METHOD, 1, b"\0\x32\0")],
         [close(501, 0, 0, 'FRAME_ERROR - type 1...'), END]),
        ("method_empty_channel_0", "open", [raw_frame(METHOD, 0, b"")],
         [close(501, 0, 0, 'FRAME_ERROR - type 1...'), END]),
        ("header_channel_0", "open", [content_header(0, 1)], [close(505, 0, 0, 'UNEXPECTED_FRAME - type 2...'), END]),
        ("body_channel_0", "open", [body(0, b"x")], [close(505, 0, 0, 'UNEXPECTED_FRAME - type 3...'), END]),
        ("basic_channel_0", "open", [qos(0)], [misplaced(60, 10, "running"), END]),
        ("channel_open_channel_0", "open", [channel_open(0)], [misplaced(20, 10, "running"), END]),
        ("connection_open_channel_1", "channel", [method(1, spec.Connection.Open("/"))],
         [close(503, 10, 40, 'COMMAND_INVALID - unimplemented method'), END]),
        ("connection_close_channel_1", "channel", [method(1, spec.Connection.Close(200, "", 0, 0))],
         [close(503, 10, 50, 'COMMAND_INVALID - unimplemented method'), END]),
        ("open_twice", "open", [OPEN], [misplaced(10, 40, "running"), END]),
        # -- channels
        ("channel_unopened", "open", [qos(7)], [close(504, 60, 10, "CHANNEL_ERROR - expected 'channel.open'"), END]),
        ("channel_unopened_header", "open", [content_header(7, 1)],
         [NO_METHOD, END]),
        ("channel_unopened_body", "open", [body(7, b"x")],
         [NO_METHOD, END]),
        ("channel_unopened_close", "open", [channel_close(7)],
         [close(504, 20, 40, "CHANNEL_ERROR - expected 'channel.open'"), END]),
        ("channel_above_max", "tune", [tune_ok(2, F) + OPEN + channel_open(2) + channel_open(3), "3 Channel.OpenOk",
         channel_open(1)],
         ["0 Connection.OpenOk", "2 Channel.OpenOk", beyond(3, 2), END]),
        ("channel_above_max_max", "tune", [tune_ok(2, F) + OPEN + channel_open(65535), "65535 Channel.OpenOk", CLOSE],
         ["0 Connection.OpenOk", beyond(65535, 2), END]),
        ("channel_above_max_method", "tune", [tune_ok(2, F) + OPEN + qos(65535)],
         ["0 Connection.OpenOk", close(504, 60, 10, "CHANNEL_ERROR - expected 'channel.open'"), END]),
        ("channel_above_server_max", "open", [channel_open(C + 1), "Channel.OpenOk", CLOSE], [beyond(C + 1, C), END]),
        ("channel_count", "tune", [tune_ok(2, F) + OPEN + channel_open(1) + channel_open(2) + channel_open(1)],
         ["0 Connection.OpenOk", "1 Channel.OpenOk", "2 Channel.OpenOk", SECOND_OPEN, END]),
        ("channel_unopened_close_ok", "open", [method(7, spec.Channel.CloseOk()) + CLOSE], [OVER]),
        ("channel_reused", "channel", [channel_close(), "Channel.CloseOk", channel_open() + qos(), "Basic.QosOk",
         CLOSE],
         ["1 Channel.CloseOk", "1 Channel.OpenOk", "1 Basic.QosOk", OVER]),
        ("channel_open_twice", "channel", [channel_open()],
         [SECOND_OPEN, END]),
        ("channel_close_twice", "channel", [channel_close(), "Channel.CloseOk", channel_close()],
         ["1 Channel.CloseOk", close(504, 20, 40, "CHANNEL_ERROR - expected 'channel.open'"), END]),
        ("channel_close_ok_unasked", "channel", [method(1, spec.Channel.CloseOk())],
         [close(503, 20, 41, 'COMMAND_INVALID - unimplemented method'), END]),
        ("channel_closing_method", "channel", [BAD, "Channel.Close", qos() + BAD + method(1,
         spec.Channel.CloseOk()) + channel_open(), "Channel.OpenOk", CLOSE],
         [REFUSED, "1 Channel.OpenOk", OVER]),
        ("channel_closing_close", "channel", [BAD, "Channel.Close", channel_close() + method(1,
         spec.Channel.CloseOk()) + channel_open(), "Channel.OpenOk", CLOSE],
         [REFUSED, "1 Channel.CloseOk", "1 Channel.OpenOk", OVER]),
        ("channel_closing_close_only", "channel", [BAD, "Channel.Close", channel_close() + channel_open(), "CloseOk",
         CLOSE],
         [REFUSED, "1 Channel.CloseOk", OVER]),
        ("channel_closing_close_twice", "channel", [BAD, "Channel.Close", channel_close() * 2 + CLOSE],
         [REFUSED, "1 Channel.CloseOk", "1 Channel.CloseOk", OVER]),
        ("channel_closing_open", "channel", [BAD, "Channel.Close", channel_open(), CLOSE], [REFUSED, OVER]),
        ("channel_closing_content", "channel", [BAD, "Channel.Close", method(1, spec.Basic.Publish(exchange="",
         routing_key="nowhere")) + content_header(1, 1) + body(1, b"x") + CLOSE],
         [REFUSED, OVER]),
        ("channel_closing_stray_body", "channel", [BAD, "Channel.Close", body(1, b"x") + CLOSE], [REFUSED, OVER]),
        ("channel_closing_unknown_method", "channel", [BAD, "Channel.Close", raw_frame(METHOD, 1, struct.pack(">HH",
         60, 999)) + CLOSE],
         [REFUSED, close(503, 60, 999, 'COMMAND_INVALID - method 60.999 on channel 1 could not be decoded'), OVER]),
        # -- both sides close
        ("close_crossed", "open", [channel_open(0), "Connection.Close", CLOSE + CLOSE_OK],
         [misplaced(20, 10, "running"), OVER]),
        ("closing_ignored", "channel", [channel_open(0), "Connection.Close",
         qos() + BAD + channel_open(9) + OPEN + CLOSE_OK],
         [misplaced(20, 10, "running"), END]),
        ("closing_frame_bad_end", "channel", [channel_open(0), "Connection.Close", qos()[:-1] + b"\0" + CLOSE_OK],
         [misplaced(20, 10, "running"), END]),
        ("closing_frame_type", "channel", [channel_open(0), "Connection.Close", raw_frame(99, 1, b"x") + CLOSE_OK],
         [misplaced(20, 10, "running"), END]),
    ]


# Clauses that RabbitMQ does not keep to.
CLOSING_DISCARDS = "all but close and close-ok is discarded after channel.close (class channel)"
HIGHEST = "channel_max is the highest number (connection.tune); RabbitMQ counts channels"
ANY_TIME = "a close is answered at any time (class connection)"
ENDS_EARLY = "502 for arguments that end too early (4.8); RabbitMQ's parser fails inside"
HEARTBEATS = "501 for an invalid heartbeat frame (4.2.7)"


def oracle_says(F, C):
    """Where RabbitMQ 3.10 says something else than its own documentation, the specification, has it, and why
    Godwit does not follow."""
    return {
        "close_at_start": (SILENCE, ANY_TIME),
        "close_at_tune": (SILENCE, ANY_TIME),
        "close_at_tuned": ([misplaced(10, 50, "opening"), END], ANY_TIME),
        "properties_over_4096": (SILENCE, "client-properties may take more than RabbitMQ's 4096 octets"),
        "update_secret_short": ([close(541, 0, 0, "INTERNAL_ERROR"), END], ENDS_EARLY),
        "heartbeat_channel_1": ([close(505, 0, 0, 'UNEXPECTED_FRAME - type 8...'), END], HEARTBEATS),
        "heartbeat_channel_unopened": ([close(505, 0, 0, 'UNEXPECTED_FRAME - type 8...'), END], HEARTBEATS),
        "channel_above_max": (["0 Connection.OpenOk", "2 Channel.OpenOk", "3 Channel.OpenOk", close(530, 0, 0,
             'NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)'), END], HIGHEST),
        "channel_above_max_max": (["0 Connection.OpenOk", "65535 Channel.OpenOk", OVER], HIGHEST),
        "channel_above_server_max": (["2048 Channel.OpenOk", OVER], HIGHEST),
        "channel_closing_close_only": ([REFUSED, "1 Channel.CloseOk", SECOND_OPEN, OVER], CLOSING_DISCARDS),
        "channel_closing_open": ([REFUSED, SECOND_OPEN, END], CLOSING_DISCARDS),
        "channel_closing_stray_body": ([REFUSED, NO_METHOD, OVER], CLOSING_DISCARDS),
        "channel_closing_unknown_method": ([REFUSED, END], "its reader ends without a close"),
    }
