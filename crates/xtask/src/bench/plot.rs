//! The pulls as bars, in SVG: who takes how long, with the sync after it in a lighter tone, and the limit of the machine as a line.

use std::fmt::Write as _;

use super::peers::{LAYERD, LAYERD_EROFS};
use super::results::Results;

const LEGEND: &str = "Bars: until success is reported, and lighter a sync after that (layerd's is in the former). Thin: lowest to highest. Dashed: \
    this machine's limit.";
const WIDTH: f64 = 860.0;
/// Where bars begin: names stand to the left.
const LEFT: f64 = 170.0;
/// How long the longest bar of a scenario is; its number stands to the right.
const BAR: f64 = 560.0;
const ROW: f64 = 20.0;
const HEAD: f64 = 34.0;

/// All scenarios below each other, each to a scale of its own.
pub(crate) fn svg(results: &Results) -> String {
    let mut body = String::new();
    let mut top = 34.0;
    for (scenario, image) in results.measured() {
        top = panel(&mut body, results, scenario, &image, top);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{top}\" viewBox=\"0 0 {WIDTH} {top}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"24\">{LEGEND}</text>\n{body}</svg>\n"
    )
}

fn panel(body: &mut String, results: &Results, scenario: &str, image: &str, top: f64) -> f64 {
    let mut rows = Vec::new();
    for peer in results.peers() {
        let wall = results.spread(scenario, image, peer, |usage| usage.wall);
        let sync = results.spread(scenario, image, peer, |usage| usage.sync);
        if let (Some(wall), Some(sync)) = (wall, sync) {
            rows.push((peer, wall, sync.median));
        }
    }
    let limit = results.limit(image).filter(|_| scenario.starts_with("cold")).map(|limit| limit.wall);
    let longest =
        rows.iter().map(|(_, wall, sync)| (wall.median + sync).max(wall.max)).chain(limit).fold(0.001, f64::max);
    let scale = BAR / longest;
    let title = escape(&format!("{scenario}: {image}, {}", results.described(image)));
    let _ = writeln!(body, "<text x=\"10\" y=\"{:.1}\" font-weight=\"bold\">{title}</text>", top + 18.0);
    let mut y = top + HEAD;
    for (peer, wall, sync) in rows {
        let fill = if [LAYERD, LAYERD_EROFS].contains(&peer.as_str()) { "#1b6ca8" } else { "#8a8f98" };
        let (length, middle) = (wall.median * scale, y + 8.0);
        let (begin, end) = (LEFT + wall.min * scale, LEFT + wall.max * scale);
        let _ = writeln!(
            body,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"14\" fill=\"{fill}\"/>\n\
             <rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"14\" fill=\"{fill}\" opacity=\"0.35\"/>\n\
             <path d=\"M{begin:.1} {middle:.1}H{end:.1}\" stroke=\"black\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\">{:.2} s</text>",
            LEFT - 8.0,
            y + 12.0,
            escape(peer),
            LEFT + length,
            sync * scale,
            end.max(LEFT + length + sync * scale) + 6.0,
            y + 12.0,
            wall.median
        );
        y += ROW;
    }
    if let Some(limit) = limit {
        let x = LEFT + limit * scale;
        let (from, to) = (top + HEAD - 4.0, y);
        let _ = writeln!(body, "<path d=\"M{x:.1} {from:.1}V{to:.1}\" stroke=\"#c0392b\" stroke-dasharray=\"4 3\"/>");
    }
    y + 12.0
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_can_not_break_the_plot() {
        assert_eq!(super::escape("a<b>&c"), "a&lt;b&gt;&amp;c");
    }
}
