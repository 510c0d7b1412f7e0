//! Accuracy over work, as an SVG that stands alone.

use anyhow::Result;
use plotters::prelude::*;

use super::table::Front;

/// Draws the forms as dots, those of the front filled and joined, and the base model and the full form as lines.
///
/// # Errors
/// If the drawing fails.
pub(super) fn svg(front: &Front) -> Result<String> {
    let share = |count: usize| 100.0 * count as f64 / front.inputs as f64;
    let works = front.points.iter().map(|point| point.work).chain(front.full.map(|(_, work)| work));
    let (least, most) = works.fold((f64::INFINITY, 0.0f64), |(least, most), work| (least.min(work), most.max(work)));
    let rights = || front.points.iter().map(|point| point.right).chain(front.full.map(|(right, _)| right)).chain([front.base]);
    let (low, high) = (share(rights().min().unwrap_or(0)), share(rights().max().unwrap_or(0)));
    let margin = 0.08 * (high - low).max(1.0);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (760, 440)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d((least / 1.5..most * 1.5).log_scale(), low - margin..high + margin)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&|flop| format!("{:.3}", flop / 1e12))
            .x_desc("TFLOP for an input, search included")
            .y_desc("right, in per cent")
            .draw()?;
        let level = |right: usize| [(least / 1.5, share(right)), (most * 1.5, share(right))];
        chart.draw_series(LineSeries::new(level(front.base), RGBColor(120, 120, 120).stroke_width(1)))?;
        if let Some((right, work)) = front.full {
            chart.draw_series(LineSeries::new(level(right), RGBColor(200, 120, 40).stroke_width(1)))?;
            chart.draw_series([TriangleMarker::new((work, share(right)), 8, RGBColor(200, 120, 40).filled())])?;
        }
        let best = || front.points.iter().filter(|point| point.best).map(|point| (point.work, share(point.right)));
        chart.draw_series(
            front.points.iter().map(|point| Circle::new((point.work, share(point.right)), 4, RGBColor(40, 90, 170))),
        )?;
        chart.draw_series(best().map(|at| Circle::new(at, 4, RGBColor(40, 90, 170).filled())))?;
        chart.draw_series(LineSeries::new(best(), RGBColor(40, 90, 170).stroke_width(2)))?;
        area.present()?;
    }
    Ok(svg)
}
