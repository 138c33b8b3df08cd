/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/machine.h"

const struct machine_beside machine_beside = {0};
