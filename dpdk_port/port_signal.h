/* SPDX-License-Identifier: Apache-2.0 */
/* DPDK's TAP driver has the kernel send a real-time signal for each frame, and reads its descriptor only
 * after its handler has run. That costs an interrupted thread a frame, and it goes deaf in a process that
 * blocks the signal. A port is polled or waited for by its descriptor: the signal is switched off, and the
 * handler is called as a plain function before each read. Private to dpdk_port. */
#ifndef DPDK_PORT_PORT_SIGNAL_H
#define DPDK_PORT_PORT_SIGNAL_H

enum { PORT_SIGNALS_MAX = 64 };

typedef void (*port_signal_handler)(int number);

/* Which handlers the real-time signals had before a driver was asked. */
struct port_signals {
	port_signal_handler before[PORT_SIGNALS_MAX];
};

/* Notes the handlers, and keeps SIGIO, which the kernel sends instead where the queue of real-time signals is
 * full, from ending the process. */
void port_signals_note(struct port_signals *s);

/* The signal for which the driver has installed a handler since; it is ignored from here on. Returns its
 * number, and the handler in *handler; 0 where there is none. */
int port_signal_take(const struct port_signals *s, port_signal_handler *handler);

/* After the device is closed: gives the number back for another port. 0 is allowed. */
void port_signal_release(int number);

#endif
