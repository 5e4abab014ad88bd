//! Draws the results as SVG: bars of every side at one size, and lines of time against size.
//!
//! The drawings have no background and follow the reader's light or dark setting, so that they fit
//! both. All axes of time are logarithmic, since the sides differ by up to four powers of ten.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::contender::Kind;
use crate::report::{Row, time_in_words};
use crate::session::Outcome;

const STYLE: &str = "<style>
text{font:13px system-ui,sans-serif;fill:#4b5563}
.title{font-size:15px;font-weight:600}
.grid{stroke:#9ca3af;stroke-opacity:.35}
.bar{fill:#9ca3af}.ours{fill:#2563eb}
.curve{fill:none;stroke-width:2}
@media(prefers-color-scheme:dark){text{fill:#c3c9d2}.ours{fill:#60a5fa}}
</style>";
/// Colours of the curves. They differ on white, on black, and for most colour-blind readers.
const COLOURS: [&str; 8] =
    ["#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#0891b2", "#dc2626", "#6b7280"];

/// For each side's name, nanoseconds by the number of sessions.
type Curves = BTreeMap<String, BTreeMap<u64, f64>>;

/// Draws every chart for which the rows have enough numbers.
pub fn draw(rows: &[Row], ours: Kind, directory: &Path) -> Outcome<()> {
    std::fs::create_dir_all(directory)?;
    let ours = Some(ours.name());
    for (operation, file) in [("read", "read"), ("extend", "extend"), ("create", "create")] {
        let curves = curves(rows, operation, ours);
        let at = 100_000;
        let bars: Vec<(&str, f64)> =
            curves.iter().filter_map(|(name, points)| Some((name.as_str(), *points.get(&at)?))).collect();
        if bars.len() > 1 {
            let title = format!("{operation}, one thread, {at} sessions, median time per call");
            std::fs::write(directory.join(format!("peers-{file}.svg")), bar_chart(&title, bars, ours)?)?;
        }
        if curves.values().any(|points| points.len() > 2) {
            let title =
                format!("{operation}, one thread, median time per call against the number of sessions");
            std::fs::write(
                directory.join(format!("peers-{file}-by-size.svg")),
                line_chart(&title, &curves, ours)?,
            )?;
        }
    }
    Ok(())
}

fn curves(rows: &[Row], operation: &str, ours: Option<&str>) -> Curves {
    let mut curves = Curves::new();
    for row in rows.iter().filter(|row| row.operation == operation && row.threads == 1) {
        let sides = [(ours, row.ours_ns), (row.peer.as_deref(), row.peer_ns)];
        for (name, time) in sides {
            if let (Some(name), Some(time)) = (name, time) {
                curves.entry(name.to_owned()).or_default().entry(row.sessions).or_insert(time);
            }
        }
    }
    curves
}

/// Maps times to positions, from a power of ten below all of them to one above.
struct Axis {
    least: i32,
    most: i32,
    start: f64,
    length: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64> + Clone, start: f64, length: f64) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min).log10().floor() as i32;
        let most = (values.fold(0.0, f64::max).log10().ceil() as i32).max(least + 1);
        Self { least, most, start, length }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.least)) / f64::from(self.most - self.least);
        self.start + share * self.length
    }

    fn powers(&self) -> impl Iterator<Item = f64> {
        (self.least..=self.most).map(|power| 10f64.powi(power))
    }
}

fn bar_chart(title: &str, mut bars: Vec<(&str, f64)>, ours: Option<&str>) -> Outcome<String> {
    bars.sort_by(|a, b| a.1.total_cmp(&b.1));
    // The axis begins below the least time, because that time's bar would have no length otherwise.
    let axis = Axis::new(bars.iter().map(|bar| bar.1 * 0.7), 190.0, 430.0);
    let bottom = 48 + bars.len() * 28;
    let mut svg = opening(720, bottom + 28, title)?;
    for power in axis.powers() {
        let x = axis.place(power);
        writeln!(svg, r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="40" y2="{bottom}"/>"#)?;
        writeln!(
            svg,
            r#"<text x="{x:.1}" y="{}" text-anchor="middle">{}</text>"#,
            bottom + 18,
            round(power)
        )?;
    }
    for (place, (name, time)) in bars.iter().enumerate() {
        let y = 46 + place * 28;
        let class = if ours == Some(*name) { "ours" } else { "bar" };
        let width = axis.place(*time) - axis.start;
        writeln!(svg, r#"<text x="182" y="{}" text-anchor="end">{name}</text>"#, y + 14)?;
        writeln!(svg, r#"<rect class="{class}" x="190" y="{y}" width="{width:.1}" height="19" rx="2"/>"#)?;
        writeln!(svg, r#"<text x="{:.1}" y="{}">{}</text>"#, 196.0 + width, y + 14, time_in_words(*time))?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn line_chart(title: &str, curves: &Curves, ours: Option<&str>) -> Outcome<String> {
    let points = || curves.values().flatten();
    let across = Axis::new(points().map(|(sessions, _)| *sessions as f64), 80.0, 430.0);
    let up = Axis::new(points().map(|(_, time)| *time), 360.0, -310.0);
    let mut svg = opening(720, 410, title)?;
    for power in up.powers() {
        let y = up.place(power);
        writeln!(svg, r#"<line class="grid" x1="80" x2="510" y1="{y:.1}" y2="{y:.1}"/>"#)?;
        writeln!(svg, r#"<text x="72" y="{:.1}" text-anchor="end">{}</text>"#, y + 4.0, round(power))?;
    }
    for power in across.powers() {
        let x = across.place(power);
        writeln!(svg, r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="50" y2="360"/>"#)?;
        writeln!(svg, r#"<text x="{x:.1}" y="380" text-anchor="middle">{}</text>"#, count_in_words(power))?;
    }
    svg.push_str("<text x=\"295\" y=\"402\" text-anchor=\"middle\">sessions</text>\n");
    let mut named: Vec<_> = curves.iter().filter(|(_, points)| points.len() > 1).collect();
    // Our side comes first, so that it always has the same colour.
    named.sort_by_key(|(name, _)| ours != Some(name.as_str()));
    for (place, ((name, points), colour)) in named.into_iter().zip(COLOURS.iter().cycle()).enumerate() {
        let path: Vec<String> = points
            .iter()
            .map(|(sessions, time)| format!("{:.1},{:.1}", across.place(*sessions as f64), up.place(*time)))
            .collect();
        writeln!(svg, r#"<polyline class="curve" stroke="{colour}" points="{}"/>"#, path.join(" "))?;
        for point in &path {
            let (x, y) = point.split_once(',').ok_or("a point has two numbers")?;
            writeln!(svg, r#"<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>"#)?;
        }
        let y = 62 + place * 22;
        writeln!(svg, r#"<rect x="530" y="{}" width="14" height="4" fill="{colour}"/>"#, y - 6)?;
        writeln!(svg, r#"<text x="552" y="{y}">{name}</text>"#)?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn opening(width: usize, height: usize, title: &str) -> Outcome<String> {
    let mut svg = String::new();
    let size = format!(r#"width="{width}" height="{height}" viewBox="0 0 {width} {height}""#);
    writeln!(svg, r#"<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">"#)?;
    writeln!(svg, "<title>{title}</title>\n{STYLE}")?;
    writeln!(svg, r#"<text class="title" x="12" y="24">{title}</text>"#)?;
    Ok(svg)
}

/// The shortest label for a power of ten in nanoseconds.
fn round(power: f64) -> String {
    match power {
        power if power < 1e3 => format!("{power:.0} ns"),
        power if power < 1e6 => format!("{:.0} us", power / 1e3),
        power if power < 1e9 => format!("{:.0} ms", power / 1e6),
        power => format!("{:.0} s", power / 1e9),
    }
}

fn count_in_words(count: f64) -> String {
    match count {
        count if count < 1e3 => format!("{count:.0}"),
        count if count < 1e6 => format!("{:.0} k", count / 1e3),
        count => format!("{:.0} M", count / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(sessions: u64, ours: f64, peer: &str, time: f64) -> Row {
        Row {
            operation: "read".to_owned(),
            sessions,
            threads: 1,
            ours_ns: Some(ours),
            peer: Some(peer.to_owned()),
            peer_ns: Some(time),
            ratio: Some(ours / time),
            ratio_min: None,
            ratio_max: None,
            line: None,
        }
    }

    #[test]
    fn bars_and_curves_are_drawn_with_every_side_named() -> Outcome<()> {
        let mut rows = Vec::new();
        for (step, sessions) in [10_000, 100_000, 1_000_000, 10_000_000].into_iter().enumerate() {
            let slower = 1.0 + step as f64 / 4.0;
            rows.push(row(sessions, 800.0 * slower, "LMDB", 1800.0 * slower));
            rows.push(row(sessions, 800.0 * slower, "SQLite", 6000.0 * slower));
        }
        let directory = std::env::temp_dir().join(format!("sessile-charts-{}", std::process::id()));
        draw(&rows, Kind::Ours, &directory)?;
        let bars = std::fs::read_to_string(directory.join("peers-read.svg"))?;
        let curves = std::fs::read_to_string(directory.join("peers-read-by-size.svg"))?;
        if std::env::var_os("KEEP_CHARTS").is_none() {
            std::fs::remove_dir_all(&directory)?;
        }
        for name in ["sessile", "LMDB", "SQLite"] {
            assert!(bars.contains(name) && curves.contains(name));
        }
        assert_eq!(bars.matches("<rect").count(), 3);
        assert_eq!(curves.matches("<circle").count(), 12);
        Ok(())
    }
}
