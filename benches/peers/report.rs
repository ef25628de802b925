//! The table and the plots of the results.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::common::median;

/// All measured values, by figure and tool.
#[derive(Default)]
pub struct Report {
    /// How the values were measured, in a sentence.
    pub settings: String,
    /// The figures, in the order of their first value.
    figures: Vec<&'static str>,
    peers: Vec<String>,
    values: BTreeMap<(&'static str, String), Vec<f64>>,
    /// What failed, and how often.
    faults: BTreeMap<String, u32>,
}

/// A figure of a tool.
type Place = (&'static str, &'static str);

const MEMORY: &str = "skypipe, memory";
const PRIVATE: &str = "skypipe, private";
const SOCAT: &str = "socat, two hops";
const SOCAT_TLS: &str = "socat, two hops, TLS";
const FAR: &str = "1 Gbit/s, 100 ms: share";
const FAR_TEXT: &str = "100 Mbit/s, 100 ms, log text: × the link";

/// The comparisons for skypipe: a figure of its own, and the figure to divide it by unless it is a
/// share already.
const AGAINST: [(&str, Place, Option<Place>); 15] = [
    (
        "bulk, plain : socat",
        ("bulk MB/s", MEMORY),
        Some(("bulk MB/s", SOCAT)),
    ),
    (
        "bulk, private : socat TLS",
        ("bulk MB/s", PRIVATE),
        Some(("bulk MB/s", SOCAT_TLS)),
    ),
    (
        "ten at once, plain : socat",
        ("ten at once MB/s", MEMORY),
        Some(("ten at once MB/s", SOCAT)),
    ),
    (
        "ten at once, private : socat TLS",
        ("ten at once MB/s", PRIVATE),
        Some(("ten at once MB/s", SOCAT_TLS)),
    ),
    (
        "line p50, plain : socat",
        ("line p50 µs", MEMORY),
        Some(("line p50 µs", SOCAT)),
    ),
    (
        "line p50, private : socat",
        ("line p50 µs", PRIVATE),
        Some(("line p50 µs", SOCAT)),
    ),
    (
        "line p50, private : socat TLS",
        ("line p50 µs", PRIVATE),
        Some(("line p50 µs", SOCAT_TLS)),
    ),
    (
        "text : bulk, plain",
        ("text MB/s", MEMORY),
        Some(("bulk MB/s", MEMORY)),
    ),
    (
        "text : bulk, private",
        ("text MB/s", PRIVATE),
        Some(("bulk MB/s", PRIVATE)),
    ),
    (
        "CPU of the satellite, plain : of socat's relay",
        ("server CPU s/GB", MEMORY),
        Some(("server CPU s/GB", SOCAT)),
    ),
    (
        "CPU of the satellite, private : of socat's TLS relay",
        ("server CPU s/GB", PRIVATE),
        Some(("server CPU s/GB", SOCAT_TLS)),
    ),
    ("1 Gbit/s at 100 ms, plain : the link", (FAR, MEMORY), None),
    (
        "1 Gbit/s at 100 ms, private : the link",
        (FAR, PRIVATE),
        None,
    ),
    (
        "log text at 100 Mbit/s, plain : the link",
        (FAR_TEXT, MEMORY),
        None,
    ),
    (
        "log text at 100 Mbit/s, private : the link",
        (FAR_TEXT, PRIVATE),
        None,
    ),
];

impl Report {
    /// Records a value.
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

    /// Records a failure of a tool.
    pub fn fault(&mut self, peer: &str, measure: &str, why: &str) {
        let sentence = format!("{peer}, {measure}: {why}");
        eprintln!("{sentence}");
        *self.faults.entry(sentence).or_default() += 1;
    }

    fn median(&self, figure: &'static str, peer: &str) -> Option<f64> {
        let values = self.values.get(&(figure, peer.to_owned()))?;
        Some(median(values.clone()))
    }

    /// All tables, and the failures.
    pub fn tables(&self) -> String {
        let mut text = format!("{}\n\n{}{}", self.settings, self.table(), self.against());
        for (fault, count) in &self.faults {
            let _ = writeln!(text, "\n- {fault} ({count}×)");
        }
        text
    }

    /// The table, in Markdown: a row for each figure, a column for each tool.
    fn table(&self) -> String {
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
        text
    }

    /// The comparisons for skypipe; empty if none was measured.
    fn against(&self) -> String {
        let mut text = String::new();
        for (what, (figure, peer), by) in AGAINST {
            let Some(own) = self.median(figure, peer) else {
                continue;
            };
            let Some(other) = by.map_or(Some(1.0), |(figure, peer)| self.median(figure, peer))
            else {
                continue;
            };
            let _ = writeln!(text, "| {what} | {:.2} |", own / other);
        }
        if text.is_empty() {
            return text;
        }
        format!("\n| against | ratio |\n|---|---:|\n{text}")
    }

    /// Writes the table between the marks of a page, and a plot for each figure next to the page.
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
            format!("{before}{BEGIN}\n{}\n{images}{END}{after}", self.tables()),
        )
    }

    /// A chart with a bar for each tool.
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

/// The value with about three digits.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
