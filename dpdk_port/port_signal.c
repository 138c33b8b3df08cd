/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/port_signal.h"

#include <signal.h>
#include <stddef.h>

static port_signal_handler handler_of(int number)
{
	struct sigaction now;
	return sigaction(number, NULL, &now) ? SIG_DFL : now.sa_handler;
}

void port_signals_note(struct port_signals *s)
{
	for (int n = SIGRTMIN; n <= SIGRTMAX && n < PORT_SIGNALS_MAX + SIGRTMIN; n++)
		s->before[n - SIGRTMIN] = handler_of(n);
	if (handler_of(SIGIO) == SIG_DFL)
		signal(SIGIO, SIG_IGN);
}

int port_signal_take(const struct port_signals *s, port_signal_handler *handler)
{
	*handler = NULL;
	for (int n = SIGRTMIN; n <= SIGRTMAX && n < PORT_SIGNALS_MAX + SIGRTMIN; n++) {
		port_signal_handler now = handler_of(n);
		if (now == s->before[n - SIGRTMIN] || now == SIG_DFL || now == SIG_IGN)
			continue;
		/* The kernel drops ignored signals as it makes them, and those that are pending now. */
		signal(n, SIG_IGN);
		*handler = now;
		return n;
	}
	return 0;
}

void port_signal_release(int number)
{
	if (number)
		signal(number, SIG_DFL);
}
