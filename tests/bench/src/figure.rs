//! A figure, and the table of all.

use serde_json::{Value, json};
use std::fmt;

/// What a figure has to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

/// A figure: its runs, and what it has to reach.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// What it is compared with, in the same run.
    pub(crate) beside: String,
    /// One value for each run.
    pub(crate) runs: Vec<f64>,
    /// What it has to reach.
    pub(crate) target: Target,
}

impl Figure {
    pub(crate) fn median(&self) -> f64 {
        median(&self.runs)
    }

    fn least(&self) -> f64 {
        self.runs.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn most(&self) -> f64 {
        self.runs.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    fn holds(&self) -> bool {
        match self.target {
            Target::AtMost(bound) => self.median() <= bound,
            Target::AtLeast(bound) => self.median() >= bound,
        }
    }
}

/// The middle of the values; 0 without any.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.get(sorted.len() / 2)) {
        (_, None) => 0.0,
        (count, Some(upper)) if count % 2 == 1 => *upper,
        (count, Some(upper)) => (sorted.get(count / 2 - 1).unwrap_or(upper) + upper) / 2.0,
    }
}

/// All figures of one call.
pub(crate) struct Report {
    /// Short runs: nothing is held against a target.
    pub(crate) smoke: bool,
    /// The figures.
    pub(crate) figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn json(&self) -> Value {
        let figures: Vec<Value> = self
            .figures
            .iter()
            .map(|figure| {
                json!({
                    "name": figure.name,
                    "unit": figure.unit,
                    "median": rounded(figure.median()),
                    "min": rounded(figure.least()),
                    "max": rounded(figure.most()),
                    "runs": figure.runs.len(),
                    "beside": figure.beside,
                    "target": target(figure.target),
                    "holds": if self.smoke { None } else { Some(figure.holds()) },
                })
            })
            .collect();
        json!({ "smoke": self.smoke, "figures": figures })
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn target(target: Target) -> String {
    match target {
        Target::AtMost(bound) => format!("≤ {bound}"),
        Target::AtLeast(bound) => format!("≥ {bound}"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<58} {:>10} {:>22} {:>10}  {:<6} beside",
            "figure", "median", "min … max", "target", "holds"
        )?;
        for figure in &self.figures {
            let holds = match figure.holds() {
                _ if self.smoke => "",
                true => "yes",
                false => "NO",
            };
            let range = format!("{:.2} … {:.2}", figure.least(), figure.most());
            writeln!(
                f,
                "{:<58} {:>10} {:>22} {:>10}  {:<6} {}",
                format!("{} ({})", figure.name, figure.unit),
                format!("{:.2}", figure.median()),
                range,
                target(figure.target),
                holds,
                figure.beside
            )?;
        }
        let runs = self.figures.iter().map(|figure| figure.runs.len()).min().unwrap_or(0);
        writeln!(
            f,
            "Medians of {runs} runs or more{}.",
            if self.smoke { ", too short to mean anything" } else { "" }
        )
    }
}
