/* SPDX-License-Identifier: Apache-2.0 */
/* Rows and columns of text, printed aligned. */
#ifndef TOOLS_GODWITCTL_GRID_H
#define TOOLS_GODWITCTL_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct grid {
	size_t rows, columns;
	char **cells; /* row by row; NULL: empty */
	bool *right;  /* of each column: aligned to the right */
};

/* An empty grid. Without memory the program ends, as in everything here. */
struct grid grid_new(size_t rows, size_t columns);
/* Takes text, which free can free. A cell is set once. */
void grid_set_take(struct grid *g, size_t row, size_t column, char *text);
/* Rows become columns; all columns but the first are aligned to the right. */
void grid_transpose(struct grid *g);
/* Of a printed line in characters, without the indent. */
size_t grid_width(const struct grid *g);
/* Two spaces between columns, none at a line's end. */
void grid_print(const struct grid *g, size_t indent, FILE *out);
void grid_free(struct grid *g);

/* p, or the end of the program where it is NULL. */
void *need_memory(void *p);

#endif
