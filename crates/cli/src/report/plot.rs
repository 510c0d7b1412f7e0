//! Drawings as inline SVG that follow the page's colors.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

/// Colors that stand for those of the page's style sheet: they are replaced in the finished drawing.
const TEXT: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(1, 1, 2);

/// Draws `lines`, each with the name of its color in the style sheet and its values at steps 0, 1, 2, ...
///
/// # Errors
/// If there is nothing to draw.
pub fn lines(lines: &[(&str, Vec<f32>)], x: &str, y: &str) -> Result<String> {
    let values = || lines.iter().flat_map(|(_, values)| values.iter().copied()).filter(|value| value.is_finite());
    let lowest = values().reduce(f32::min).ok_or_else(|| anyhow!("there is nothing to plot"))?;
    let highest = values().reduce(f32::max).unwrap_or(lowest);
    let margin = 0.05 * (highest - lowest).max(0.1);
    let last = lines.iter().map(|(_, values)| values.len()).max().unwrap_or(0).saturating_sub(1).max(1);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (640, 320)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(40)
            .y_label_area_size(52)
            .build_cartesian_2d(0..last, lowest - margin..highest + margin)?;
        let text = ("sans-serif", 13).into_font().color(&TEXT);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(GRID)
            .label_style(text.clone())
            .axis_desc_style(text)
            .x_desc(x)
            .y_desc(y)
            .draw()?;
        for (index, (_, values)) in lines.iter().enumerate() {
            let points = values.iter().copied().enumerate().filter(|(_, value)| value.is_finite());
            chart.draw_series(LineSeries::new(points, stand_in(index).stroke_width(2)))?;
        }
        area.present()?;
    }
    Ok(colored(&svg, lines.iter().map(|(color, _)| *color)))
}

/// A point of a drawing: where it is, and how far it may be off upwards and downwards.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    pub interval: [f64; 2],
}

/// Draws series of points with their intervals, joined by lines, each with the name of its color in the style sheet.
///
/// # Errors
/// If there is nothing to draw.
pub fn points(series: &[(&str, Vec<Point>)], x: &str, y: &str) -> Result<String> {
    let all = || series.iter().flat_map(|(_, points)| points);
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let [low, high] = values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| [low.min(value), high.max(value)]);
        (low <= high).then(|| (low - 0.05 * (high - low).max(0.01), high + 0.05 * (high - low).max(0.01)))
    };
    let nothing = || anyhow!("there is nothing to plot");
    let (left, right) = range(&mut all().map(|point| point.x)).ok_or_else(nothing)?;
    let (bottom, top) = range(&mut all().flat_map(|point| point.interval)).ok_or_else(nothing)?;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (640, 320)).into_drawing_area();
        let mut builder = ChartBuilder::on(&area);
        let mut chart =
            builder.margin(8).x_label_area_size(40).y_label_area_size(52).build_cartesian_2d(left..right, bottom..top)?;
        let text = ("sans-serif", 13).into_font().color(&TEXT);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(GRID)
            .label_style(text.clone())
            .axis_desc_style(text)
            .x_desc(x)
            .y_desc(y)
            .draw()?;
        for (index, (_, points)) in series.iter().enumerate() {
            let style = stand_in(index).stroke_width(2);
            chart.draw_series(LineSeries::new(points.iter().map(|point| (point.x, point.y)), style))?;
            let bars = points.iter().map(|point| PathElement::new(point.interval.map(|y| (point.x, y)).to_vec(), style));
            chart.draw_series(bars)?;
            let dots = points.iter().map(|point| Circle::new((point.x, point.y), 3, stand_in(index).filled()));
            chart.draw_series(dots)?;
        }
        area.present()?;
    }
    Ok(colored(&svg, series.iter().map(|(color, _)| *color)))
}

/// The drawing in the page's colors, those of its lines in order.
fn colored<'a>(svg: &str, colors: impl Iterator<Item = &'a str>) -> String {
    let svg = svg.replace(&hex(TEXT), "currentColor").replace(&hex(GRID), "var(--grid)");
    colors.enumerate().fold(svg, |svg, (index, color)| svg.replace(&hex(stand_in(index)), &format!("var(--{color})")))
}

fn stand_in(line: usize) -> RGBColor {
    RGBColor(1, 2, line as u8)
}

fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_takes_the_colors_of_the_page() {
        let svg = lines(&[("y1", vec![0.0, 1.0, 2.0]), ("y2", vec![2.0, 1.0, f32::NAN])], "steps", "logit").unwrap();
        assert!(svg.contains("var(--y1)") && svg.contains("var(--y2)") && svg.contains("currentColor"));
        assert!(!svg.contains("#01"), "a stand-in color was left");
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn points_come_with_their_intervals() {
        let point = |x: f64| Point { x, y: 0.5, interval: [0.4, 0.6] };
        let svg = points(&[("y1", vec![point(10.0), point(50.0)]), ("y2", vec![point(10.0)])], "steps", "accuracy").unwrap();
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("var(--y1)") && svg.contains("var(--y2)") && !svg.contains("#0102"), "{svg}");
        assert!(points(&[("y1", Vec::new())], "steps", "accuracy").is_err());
    }

    #[test]
    fn nothing_to_plot_is_an_error_and_a_flat_line_is_not() {
        assert!(lines(&[("y1", vec![f32::NAN])], "steps", "logit").is_err());
        assert!(lines(&[("y1", vec![3.0; 4])], "steps", "logit").is_ok());
    }
}
