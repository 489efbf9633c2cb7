// SPDX-License-Identifier: MPL-2.0
// A benchmark's rows as a picture: for each case one bar for each implementation, on a scale of its own, with the figure
// beside it. Plain SVG, that a browser or a README shows.
#include "perf.h"

#include <string.h>

enum {
    SVG_WIDTH = 900,
    SVG_BARS_AT = 150,   /* where the bars begin */
    SVG_BARS_WIDE = 600, /* the longest bar of a case */
    SVG_ROW = 18,
    SVG_TITLE = 26,
    SVG_MARGIN = 20,
};

/* Text between tags: the few characters that XML keeps for itself. */
static void
put_text(FILE *file, const char *text) {
    for (; *text; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", file);
            break;
        case '>':
            fputs("&gt;", file);
            break;
        case '&':
            fputs("&amp;", file);
            break;
        default:
            fputc(*text, file);
        }
    }
}

/* The end of the rows that belong to the case of row first. */
static int
case_end(const perf_bench *bench, int first) {
    int end = first;
    while (end < bench->row_count && bench->rows[end].what == bench->rows[first].what) {
        end++;
    }
    return end;
}

static int
height_of(const perf_bench *bench) {
    int height = 2 * SVG_MARGIN + SVG_TITLE;
    for (int first = 0; first < bench->row_count; first = case_end(bench, first)) {
        height += SVG_TITLE + SVG_ROW * (case_end(bench, first) - first);
    }
    return height;
}

static void
put_row(FILE *file, const perf_row *row, double longest, int y) {
    double value = perf_row_median(row);
    double length = longest > 0 ? value / longest * SVG_BARS_WIDE : 0;
    const char *color = strcmp(row->impl, "skua") == 0 ? "#1f6feb" : "#9aa4b2";
    fprintf(file, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", SVG_BARS_AT - 8, y + SVG_ROW - 5);
    put_text(file, row->impl);
    fprintf(file, "</text>\n<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n",
            SVG_BARS_AT, y + 2, length > 1 ? length : 1, SVG_ROW - 4, color);
    fprintf(file, "<text x=\"%.1f\" y=\"%d\">", SVG_BARS_AT + length + 6, y + SVG_ROW - 5);
    if (row->count == 0) {
        fputs("no result", file);
    } else {
        fprintf(file, "%.4g ", value);
        put_text(file, row->unit);
    }
    if (row->target.bound > 0) {
        fprintf(file, " (wanted: %.4g)", row->target.bound);
    }
    fputs("</text>\n", file);
}

bool
perf_write_svg(const perf_bench *bench, FILE *file) {
    int y = SVG_MARGIN + SVG_TITLE;
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
            "<text x=\"%d\" y=\"%d\" font-size=\"16\" font-weight=\"bold\">skua-perf ",
            SVG_WIDTH, height_of(bench), SVG_MARGIN, SVG_MARGIN + 8);
    put_text(file, bench->name);
    fputs("</text>\n", file);
    for (int first = 0; first < bench->row_count; first = case_end(bench, first)) {
        char words[160];
        double longest = 0;
        perf_describe(bench->rows[first].what, words, sizeof words);
        fprintf(file, "<text x=\"%d\" y=\"%d\" font-weight=\"bold\">", SVG_MARGIN,
                y + SVG_TITLE - 8);
        put_text(file, words);
        fputs("</text>\n", file);
        y += SVG_TITLE;
        for (int i = first; i < case_end(bench, first); i++) {
            double value = perf_row_median(&bench->rows[i]);
            longest = value > longest ? value : longest;
        }
        for (int i = first; i < case_end(bench, first); i++, y += SVG_ROW) {
            put_row(file, &bench->rows[i], longest, y);
        }
    }
    fputs("</svg>\n", file);
    return !ferror(file);
}
