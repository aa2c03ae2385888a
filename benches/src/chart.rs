//! Line charts as SVG: panels above each other with one x axis, labelled axes, a legend. Colours are such that a chart reads on
//! a light page and on a dark one.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 66.0;
const BOTTOM: f64 = 50.0;
const GAP: f64 = 26.0;
/// Room for one name in the legend.
const LEGEND: f64 = 130.0;

/// Each of about the same contrast to white and to black.
const COLOURS: [&str; 5] = ["#2a7fde", "#e07b1a", "#1f9d55", "#c2489b", "#8a6fdf"];
/// Of text and axes.
const INK: &str = "#808080";
/// Of the lines behind the data.
const GRID: &str = "#80808040";

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    /// By powers of ten; only what is above zero has a place.
    Logarithmic,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    /// Which of the colours.
    pub colour: usize,
    pub dashed: bool,
}

/// Lines with one y axis.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub label: String,
    pub scale: Scale,
    pub height: f64,
    pub lines: Vec<Line>,
}

/// A chart.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub title: String,
    pub x_label: String,
    pub x_scale: Scale,
    pub panels: Vec<Panel>,
}

/// From values to places on the page.
struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis that takes in all `values`.
    fn over(scale: Scale, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let usable = values.filter(|value| value.is_finite() && (scale == Scale::Linear || *value > 0.0));
        let (mut low, mut high) =
            usable.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            (low, high) = (1.0, 10.0);
        }
        match scale {
            Scale::Linear => {
                low = low.min(0.0);
                high = if high > low { high } else { low + 1.0 };
            }
            Scale::Logarithmic => {
                low = 10_f64.powf((low.log10() + 1e-9).floor());
                high = 10_f64.powf((high.log10() - 1e-9).ceil()).max(low * 10.0);
            }
        }
        Self { scale, low, high, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => (value.max(self.low) / self.low).log10() / (self.high / self.low).log10(),
        };
        self.from + share * (self.to - self.from)
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let step = round_step((self.high - self.low) / 5.0);
                let count = ((self.high - self.low) / step + 1e-9).floor() as i32;
                (0..=count).map(|number| self.low + f64::from(number) * step).collect()
            }
            Scale::Logarithmic => {
                let decades = (self.high / self.low).log10().round() as i32;
                (0..=decades).map(|decade| self.low * 10_f64.powi(decade)).collect()
            }
        }
    }
}

/// The next of 1, 2, 5, 10, 20, ... from `step` on.
fn round_step(step: f64) -> f64 {
    let decade = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * decade).find(|&round| round >= step * 0.999).unwrap_or(step)
}

/// A number as a person would write it.
fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

impl Chart {
    /// The chart as an SVG document.
    pub(crate) fn svg(&self) -> String {
        let panels: f64 = self.panels.iter().map(|panel| panel.height).sum();
        let height = TOP + panels + GAP * (self.panels.len().max(1) - 1) as f64 + BOTTOM;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"12\" fill=\"{INK}\">\n"
        );
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<title>{title}</title>\n<text x=\"{LEFT}\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{title}</text>",
            title = escaped(&self.title)
        );
        self.legend(&mut svg);
        let points = || self.panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
        let x = Axis::over(self.x_scale, points().map(|point| point.0), LEFT, WIDTH - RIGHT);
        let mut top = TOP;
        for (number, panel) in self.panels.iter().enumerate() {
            let is_last = number + 1 == self.panels.len();
            panel.draw(&mut svg, &x, top, is_last);
            top += panel.height + GAP;
        }
        let (middle, below) = ((LEFT + WIDTH - RIGHT) / 2.0, height - 10.0);
        let _ = writeln!(
            svg,
            "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{}</text>",
            escaped(&self.x_label)
        );
        svg.push_str("</svg>\n");
        svg
    }

    /// The lines of the first panel, which has all of them.
    fn legend(&self, svg: &mut String) {
        let Some(panel) = self.panels.first() else { return };
        for (number, line) in panel.lines.iter().enumerate() {
            let from = LEFT + number as f64 * LEGEND;
            let (to, text) = (from + 24.0, from + 30.0);
            let _ = writeln!(
                svg,
                "<line x1=\"{from}\" y1=\"42\" x2=\"{to}\" y2=\"42\" {}/><text x=\"{text}\" y=\"46\">{}</text>",
                line.stroke(),
                escaped(&line.name)
            );
        }
    }
}

impl Panel {
    fn draw(&self, svg: &mut String, x: &Axis, top: f64, with_x: bool) {
        let bottom = top + self.height;
        let values = self.lines.iter().flat_map(|line| &line.points).map(|point| point.1);
        let y = Axis::over(self.scale, values, bottom, top);
        for tick in y.ticks() {
            let at = y.place(tick);
            let (end, text, down) = (x.to, LEFT - 8.0, at + 4.0);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{end}\" y2=\"{at:.1}\" stroke=\"{GRID}\"/>\
                 <text x=\"{text}\" y=\"{down:.1}\" text-anchor=\"end\">{}</text>",
                number(tick)
            );
        }
        for tick in x.ticks() {
            let (at, below) = (x.place(tick), bottom + 18.0);
            let _ =
                writeln!(svg, "<line x1=\"{at:.1}\" y1=\"{top}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"{GRID}\"/>");
            if with_x {
                let _ =
                    writeln!(svg, "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{}</text>", number(tick));
            }
        }
        let middle = f64::midpoint(top, bottom);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {top}V{bottom}H{}\" fill=\"none\" stroke=\"{INK}\"/>\n\
             <text transform=\"translate(16 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            x.to,
            escaped(&self.label)
        );
        for line in &self.lines {
            let mut path = String::new();
            for (number, point) in line.points.iter().enumerate() {
                let command = if number == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{command}{:.1} {:.1}", x.place(point.0), y.place(point.1));
            }
            let _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke-linejoin=\"round\" {}/>", line.stroke());
        }
    }
}

impl Line {
    fn stroke(&self) -> String {
        let dashes = if self.dashed { " stroke-dasharray=\"5 4\"" } else { "" };
        format!("stroke=\"{}\" stroke-width=\"1.8\"{dashes}", COLOURS[self.colour % COLOURS.len()])
    }
}
