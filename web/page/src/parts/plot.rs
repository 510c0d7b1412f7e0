//! Lines over the steps of a run.

use leptos::prelude::*;

/// One line.
#[derive(Clone, PartialEq)]
pub struct Series {
    /// Written at the line's end: lines are told apart by it, by dashes and by color.
    pub name: String,
    /// Its look: `first`, `second`, `loss`.
    pub look: &'static str,
    pub values: Vec<f32>,
}

/// Lines over steps `0..total`, with a mark at the step shown. It grows as values come; the text around it is HTML, so that it
/// keeps its size on a phone.
#[component]
pub fn Plot(
    title: &'static str,
    #[prop(into)] series: Signal<Vec<Series>>,
    #[prop(into)] total: Signal<usize>,
    #[prop(into)] at: Signal<usize>,
    /// Fixed bounds of the values; otherwise those of the lines.
    #[prop(optional)]
    bounds: Option<(f32, f32)>,
    /// Number of the first step.
    #[prop(default = 0)]
    first: usize,
    /// One sentence for screen readers: what the plot shows now.
    #[prop(into)]
    summary: Signal<String>,
) -> impl IntoView {
    let frame = Memo::new(move |_| series.with(|series| Frame::around(series, bounds, total.get())));
    let lines = move || {
        let frame = frame.get();
        series
            .get()
            .into_iter()
            .map(|line| view! { <path class=format!("line {}", line.look) d=frame.path(&line.values)/> })
            .collect_view()
    };
    let marks = move || {
        let (frame, at) = (frame.get(), at.get());
        let mark = |line: Series| {
            let value = *line.values.get(at)?;
            let (left, top) = (format!("{:.2}%", frame.x(at)), format!("{:.2}%", frame.y(value)));
            Some(view! { <span class=format!("mark {}", line.look) style:left=left style:top=top></span> })
        };
        series.get().into_iter().filter_map(mark).collect_view()
    };
    let names = move || {
        let frame = frame.get();
        let ends: Vec<(String, &str, f64)> =
            series.get().iter().filter_map(|line| Some((line.name.clone(), line.look, frame.y(*line.values.last()?)))).collect();
        let tops = spread(ends.iter().map(|(.., top)| *top).collect());
        ends.into_iter()
            .zip(tops)
            .map(
                |((name, look, _), top)| view! { <span class=format!("end {look}") style:top=format!("{top:.2}%")>{name}</span> },
            )
            .collect_view()
    };
    let zero = move || {
        let frame = frame.get();
        (frame.low < 0.0 && frame.high > 0.0)
            .then(|| view! { <span class="zero" style:top=format!("{:.2}%", frame.y(0.0))></span> })
    };
    view! {
        <div class="plot">
            <h3>{title}</h3>
            <div class="area" role="img" aria-label=move || format!("{title}. {}", summary.get())>
                <span class="high">{move || tick(frame.get().high)}</span>
                <span class="low">{move || tick(frame.get().low)}</span>
                <div class="canvas">
                    {zero}
                    <span class="cursor" style:left=move || format!("{:.2}%", frame.get().x(at.get()))></span>
                    <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{lines}</svg>
                    {marks}
                </div>
                <div class="ends">{names}</div>
                <span class="from">{first}</span>
                <span class="to">{move || frame.get().steps + first}</span>
            </div>
        </div>
    }
}

/// The values and steps that the area spans.
#[derive(Clone, Copy, PartialEq)]
struct Frame {
    low: f32,
    high: f32,
    /// Last step.
    steps: usize,
}

impl Frame {
    fn around(series: &[Series], bounds: Option<(f32, f32)>, total: usize) -> Self {
        let steps = series.iter().map(|line| line.values.len()).max().unwrap_or(0).max(total).max(2) - 1;
        if let Some((low, high)) = bounds {
            return Self { low, high, steps };
        }
        let values = || series.iter().flat_map(|line| &line.values).copied().filter(|value| value.is_finite());
        let (low, high) =
            values().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return Self { low: 0.0, high: 1.0, steps };
        }
        let margin = (0.08 * (high - low)).max(0.01);
        // What is never negative starts at zero.
        let low = if low >= 0.0 { 0.0 } else { low - margin };
        Self { low, high: high + margin, steps }
    }

    /// Percent from the left.
    fn x(&self, step: usize) -> f64 {
        100.0 * step as f64 / self.steps as f64
    }

    /// Percent from the top.
    fn y(&self, value: f32) -> f64 {
        let value = if value.is_finite() { value } else { self.high };
        100.0 * f64::from((self.high - value) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn path(&self, values: &[f32]) -> String {
        let mut path = String::new();
        for (step, value) in values.iter().enumerate() {
            let pen = if step == 0 { 'M' } else { 'L' };
            path.push_str(&format!("{pen}{:.2} {:.2}", self.x(step), self.y(*value)));
        }
        path
    }
}

/// Moves labels apart that would lie on each other, keeping their order and staying inside.
fn spread(tops: Vec<f64>) -> Vec<f64> {
    const GAP: f64 = 13.0;
    let mut order: Vec<usize> = (0..tops.len()).collect();
    order.sort_by(|&a, &b| tops[a].total_cmp(&tops[b]));
    let mut placed = tops.clone();
    for pair in 1..order.len() {
        let above = placed[order[pair - 1]];
        placed[order[pair]] = placed[order[pair]].max(above + GAP);
    }
    let excess = order.last().map_or(0.0, |&last| (placed[last] - 100.0).max(0.0));
    placed.into_iter().map(|top| top - excess).collect()
}

fn tick(value: f32) -> String {
    match value.abs() {
        size if size >= 10.0 => format!("{value:.0}"),
        size if size >= 1.0 || size == 0.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
