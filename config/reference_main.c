/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the reference page of all keys to standard output. */
#include <stdlib.h>

#include "config/config.h"

int main(void)
{
	config_reference(stdout);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
