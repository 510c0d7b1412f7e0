//! Lines over steps as an inline SVG that follows the page's colors.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

/// Colors that stand for those of the page's style sheet: they are replaced in the finished drawing.
const TEXT: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(1, 1, 2);

/// Draws `lines`, each with the name of its color in the style sheet and its values at steps 0, 1, 2, ...
///
/// # Errors
/// If there is nothing to draw.
pub(super) fn lines(lines: &[(&str, Vec<f32>)], x: &str, y: &str) -> Result<String> {
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
    let mut svg = svg.replace(&hex(TEXT), "currentColor").replace(&hex(GRID), "var(--grid)");
    for (index, (color, _)) in lines.iter().enumerate() {
        svg = svg.replace(&hex(stand_in(index)), &format!("var(--{color})"));
    }
    Ok(svg)
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
    fn nothing_to_plot_is_an_error_and_a_flat_line_is_not() {
        assert!(lines(&[("y1", vec![f32::NAN])], "steps", "logit").is_err());
        assert!(lines(&[("y1", vec![3.0; 4])], "steps", "logit").is_ok());
    }
}
