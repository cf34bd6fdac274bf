//! Figures and how they are shown.

use std::fmt;

/// Rows of a Markdown table, each figure beside its bar.
#[derive(Default)]
pub(crate) struct Table(Vec<[String; 4]>);

impl Table {
    /// A figure that has to stay at or under `bar`; both in `unit`. One that is no number was not measured, and misses it.
    pub(crate) fn bar(&mut self, what: impl Into<String>, figure: f64, bar: f64, unit: &str) {
        let verdict = if figure <= bar { "ok" } else { "MISSED" };
        self.0.push([
            what.into(),
            measured(figure, unit),
            format!("<= {bar} {unit}"),
            verdict.to_owned(),
        ]);
    }

    /// A figure that has to reach `bar`; both in `unit`.
    pub(crate) fn bar_at_least(
        &mut self,
        what: impl Into<String>,
        figure: f64,
        bar: f64,
        unit: &str,
    ) {
        let verdict = if figure >= bar { "ok" } else { "MISSED" };
        self.0.push([
            what.into(),
            measured(figure, unit),
            format!(">= {bar} {unit}"),
            verdict.to_owned(),
        ]);
    }

    /// A figure nothing is asked of.
    pub(crate) fn note(&mut self, what: impl Into<String>, figure: impl Into<String>) {
        self.0
            .push([what.into(), figure.into(), "-".to_owned(), String::new()]);
    }
}

fn measured(figure: f64, unit: &str) -> String {
    if figure.is_nan() {
        "not measured".to_owned()
    } else {
        format!("{figure:.2} {unit}")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["what", "measured", "bar", ""].map(str::to_owned);
        let width = |column: usize| {
            std::iter::once(&head)
                .chain(&self.0)
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths = [0, 1, 2, 3].map(width);
        let line = |f: &mut fmt::Formatter<'_>, row: &[String; 4]| {
            for (cell, width) in row.iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")
        };
        line(f, &head)?;
        for width in widths {
            write!(f, "|{}", "-".repeat(width + 2))?;
        }
        writeln!(f, "|")?;
        self.0.iter().try_for_each(|row| line(f, row))
    }
}

/// Nanoseconds, in order.
pub(crate) struct Sorted(Vec<i64>);

impl Sorted {
    pub(crate) fn new(mut values: Vec<i64>) -> Self {
        values.sort_unstable();
        Self(values)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The nearest-rank percentile, in milliseconds; not a number where there are none.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100);
        let value = self.0.get(rank.saturating_sub(1));
        value.map_or(f64::NAN, |value| *value as f64 / 1e6)
    }

    pub(crate) fn max_ms(&self) -> f64 {
        self.percentile_ms(100)
    }
}
