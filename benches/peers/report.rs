//! The table and the plots of what was measured.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::common::median;

/// All values that were measured, by figure and tool.
#[derive(Default)]
pub struct Report {
    /// In the order in which they came up first.
    figures: Vec<&'static str>,
    peers: Vec<String>,
    values: BTreeMap<(&'static str, String), Vec<f64>>,
    faults: Vec<String>,
}

impl Report {
    /// Notes a value.
    pub fn note(&mut self, peer: &str, figure: &'static str, value: f64) {
        if !self.figures.contains(&figure) {
            self.figures.push(figure);
        }
        if !self.peers.iter().any(|known| known == peer) {
            self.peers.push(peer.to_owned());
        }
        self.values
            .entry((figure, peer.to_owned()))
            .or_default()
            .push(value);
    }

    /// Notes that something was not as it should have been.
    pub fn fault(&mut self, sentence: String) {
        eprintln!("{sentence}");
        self.faults.push(sentence);
    }

    fn median(&self, figure: &'static str, peer: &str) -> Option<f64> {
        let values = self.values.get(&(figure, peer.to_owned()))?;
        Some(median(values.clone()))
    }

    /// The table, in Markdown: a line for each figure, a column for each tool.
    pub fn table(&self) -> String {
        let mut text = format!(
            "| | {} |\n|---|{}\n",
            self.peers.join(" | "),
            "---:|".repeat(self.peers.len())
        );
        for figure in &self.figures {
            let cell = |peer: &String| self.median(figure, peer).map_or("–".to_owned(), short);
            let cells: Vec<String> = self.peers.iter().map(cell).collect();
            let _ = writeln!(text, "| {figure} | {} |", cells.join(" | "));
        }
        for fault in &self.faults {
            let _ = writeln!(text, "\n- {fault}");
        }
        text
    }

    /// Puts the table between the marks of a page, and a plot for each figure beside it.
    pub fn write(&self, page: &Path) -> std::io::Result<()> {
        let text = fs::read_to_string(page)?;
        let (before, rest) = text.split_once(BEGIN).unwrap_or((&text, ""));
        let after = rest.split_once(END).map_or("", |(_, after)| after);
        let plots = page.with_extension("");
        fs::create_dir_all(&plots)?;
        let mut images = String::new();
        for figure in &self.figures {
            let name = format!("{}.svg", file_name(figure));
            fs::write(plots.join(&name), self.plot(figure))?;
            let folder = plots.file_name().unwrap_or_default().display();
            let _ = writeln!(images, "![{figure}]({folder}/{name})");
        }
        fs::write(
            page,
            format!("{before}{BEGIN}\n{}\n{images}{END}{after}", self.table()),
        )
    }

    /// Bars, one for each tool.
    fn plot(&self, figure: &'static str) -> String {
        const ROW: usize = 24;
        let bars: Vec<(&String, f64)> = self
            .peers
            .iter()
            .filter_map(|peer| Some((peer, self.median(figure, peer)?)))
            .collect();
        let most = bars
            .iter()
            .map(|bar| bar.1)
            .fold(f64::MIN_POSITIVE, f64::max);
        let height = ROW * (bars.len() + 1) + 8;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n<text x=\"4\" y=\"17\" font-weight=\"bold\">{figure}</text>\n"
        );
        for (number, (peer, value)) in bars.iter().enumerate() {
            let y = ROW * (number + 1);
            let width = 360.0 * value / most;
            let colour = if peer.starts_with("skypipe") {
                "#2a6fb0"
            } else {
                "#9aa5b1"
            };
            let _ = writeln!(
                svg,
                "<text x=\"4\" y=\"{}\">{peer}</text><rect x=\"180\" y=\"{}\" width=\"{width:.1}\" height=\"16\" \
                 fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\">{}</text>",
                y + 17,
                y + 4,
                186.0 + width,
                y + 17,
                short(*value)
            );
        }
        svg + "</svg>\n"
    }
}

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

fn file_name(figure: &str) -> String {
    let name: String = figure
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
    words.join("-")
}

/// Three digits or so.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
