/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/godwitctl_grid.h"

#include <stdlib.h>
#include <string.h>

enum { GAP = 2 };

void *need_memory(void *p)
{
	if (!p) {
		fputs("godwitctl: no memory\n", stderr);
		exit(1);
	}
	return p;
}

struct grid grid_new(size_t rows, size_t columns)
{
	return (struct grid){
		.rows = rows,
		.columns = columns,
		.cells = need_memory(calloc(rows * columns + 1, sizeof(char *))),
		.right = need_memory(calloc(columns + 1, sizeof(bool))),
	};
}

void grid_set_take(struct grid *g, size_t row, size_t column, char *text)
{
	g->cells[row * g->columns + column] = text;
}

static const char *cell(const struct grid *g, size_t row, size_t column)
{
	const char *text = g->cells[row * g->columns + column];
	return text ? text : "";
}

void grid_transpose(struct grid *g)
{
	struct grid turned = grid_new(g->columns, g->rows);
	for (size_t r = 0; r < g->rows; r++)
		for (size_t c = 0; c < g->columns; c++)
			turned.cells[c * turned.columns + r] = g->cells[r * g->columns + c];
	for (size_t c = 1; c < turned.columns; c++)
		turned.right[c] = true;
	free(g->cells);
	free(g->right);
	*g = turned;
}

/* Characters of UTF-8 text. */
static size_t text_width(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static size_t column_width(const struct grid *g, size_t column)
{
	size_t widest = 0;
	for (size_t r = 0; r < g->rows; r++) {
		size_t n = text_width(cell(g, r, column));
		widest = n > widest ? n : widest;
	}
	return widest;
}

size_t grid_width(const struct grid *g)
{
	size_t n = g->columns ? (g->columns - 1) * GAP : 0;
	for (size_t c = 0; c < g->columns; c++)
		n += column_width(g, c);
	return n;
}

void grid_print(const struct grid *g, size_t indent, FILE *out)
{
	size_t *widths = need_memory(calloc(g->columns + 1, sizeof(*widths)));
	for (size_t c = 0; c < g->columns; c++)
		widths[c] = column_width(g, c);
	for (size_t r = 0; r < g->rows; r++) {
		size_t owed = indent; /* spaces, written when text follows */
		for (size_t c = 0; c < g->columns; c++) {
			const char *text = cell(g, r, c);
			size_t rest = widths[c] - text_width(text);
			owed += g->right[c] ? rest : 0;
			if (*text) {
				fprintf(out, "%*s%s", (int)owed, "", text);
				owed = 0;
			}
			owed += (g->right[c] ? 0 : rest) + GAP;
		}
		fputc('\n', out);
	}
	free(widths);
}

void grid_free(struct grid *g)
{
	for (size_t i = 0; i < g->rows * g->columns; i++)
		free(g->cells[i]);
	free(g->cells);
	free(g->right);
	*g = (struct grid){0};
}
