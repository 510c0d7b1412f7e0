//! What is inked in a picture, and the digit in it as MNIST's makers made theirs of scans.

use std::ops::Range;

use super::in_eight_bits;

/// How strongly each place is inked: `width * height` values in [0, 1], row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Ink {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1: all ink.
    pub strength: Vec<f32>,
}

impl Ink {
    /// What a round pen of a width leaves on a square of paper: strokes are the places that it went through, in the paper's own pixels, and
    /// one place is a dot.
    pub fn of_strokes(strokes: &[Vec<[f32; 2]>], pen: f32, edge: usize) -> Self {
        let mut strength = vec![0.0f32; edge * edge];
        let lines = strokes.iter().flat_map(|stroke| {
            let ends = if stroke.len() == 1 { stroke.iter() } else { stroke[stroke.len().min(1)..].iter() };
            stroke.iter().zip(ends)
        });
        for (&from, &to) in lines {
            let reach = pen / 2.0 + 1.0;
            let places = |axis: usize| {
                let (low, high) = (from[axis].min(to[axis]) - reach, from[axis].max(to[axis]) + reach);
                low.max(0.0) as usize..(high.ceil().max(0.0) as usize).min(edge)
            };
            for row in places(1) {
                for column in places(0) {
                    let away = distance([column as f32 + 0.5, row as f32 + 0.5], from, to);
                    let inked = &mut strength[row * edge + column];
                    *inked = inked.max((pen / 2.0 + 0.5 - away).clamp(0.0, 1.0));
                }
            }
        }
        Self { width: edge, height: edge, strength }
    }

    /// The digit in a box of 20 of 28 parts of a square of `edge` pixels, its center of mass in the middle: `edge * edge` values in
    /// [0, 1], light ink on a dark ground (<http://yann.lecun.com/exdb/mnist/>). `None` where there is no ink.
    pub fn centered(&self, edge: usize) -> Option<Vec<f32>> {
        let (rows, columns) = self.extent()?;
        let longest = rows.len().max(columns.len());
        let inked = self.thickened(longest);
        let (rows, columns) = inked.extent()?;
        let side = (edge * 20).div_ceil(28);
        let scale = rows.len().max(columns.len()) as f32 / side as f32;
        let size = |length: usize| ((length as f32 / scale).round() as usize).clamp(1, side);
        let (height, width) = (size(rows.len()), size(columns.len()));
        let box_: Vec<f32> = (0..height * width)
            .map(|index| {
                let (row, column) = (index / width, index % width);
                let from =
                    |start: usize, length: usize, place: usize, of: usize| start as f32 + (place * length) as f32 / of as f32;
                inked.mean(
                    from(rows.start, rows.len(), row, height)..from(rows.start, rows.len(), row + 1, height),
                    from(columns.start, columns.len(), column, width)..from(columns.start, columns.len(), column + 1, width),
                )
            })
            .collect();
        let mass: f32 = box_.iter().sum();
        let moment = |of: &dyn Fn(usize) -> usize| {
            box_.iter().enumerate().map(|(index, value)| value * (of(index) as f32 + 0.5)).sum::<f32>() / mass
        };
        let shift = |mean: f32| (edge as f32 / 2.0 - mean).round() as isize;
        let (down, right) = (shift(moment(&|index| index / width)), shift(moment(&|index| index % width)));
        let mut pixels = vec![0.0; edge * edge];
        for (index, value) in box_.into_iter().enumerate() {
            let (row, column) = ((index / width) as isize + down, (index % width) as isize + right);
            if (0..edge as isize).contains(&row) && (0..edge as isize).contains(&column) {
                pixels[row as usize * edge + column as usize] = in_eight_bits(value);
            }
        }
        Some(pixels)
    }

    /// Rows and columns that hold ink.
    fn extent(&self) -> Option<(Range<usize>, Range<usize>)> {
        let inked = |row: usize, column: usize| self.strength[row * self.width + column] > 0.5;
        let rows: Vec<usize> = (0..self.height).filter(|&row| (0..self.width).any(|column| inked(row, column))).collect();
        let columns: Vec<usize> = (0..self.width).filter(|&column| (0..self.height).any(|row| inked(row, column))).collect();
        Some((*rows.first()?..rows.last()? + 1, *columns.first()?..columns.last()? + 1))
    }

    /// Hairlines would vanish in a box of 20 pixels: they get the width of two of them, the least that the pens of MNIST's writers had.
    fn thickened(&self, longest: usize) -> Self {
        let inked = |row: isize, column: isize| {
            let inside = (0..self.height as isize).contains(&row) && (0..self.width as isize).contains(&column);
            inside && self.strength[row as usize * self.width + column as usize] > 0.5
        };
        let (mut area, mut border) = (0usize, 0usize);
        for row in 0..self.height as isize {
            for column in 0..self.width as isize {
                if inked(row, column) {
                    area += 1;
                    let beside = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)];
                    border += beside.into_iter().filter(|&(row, column)| !inked(row, column)).count();
                }
            }
        }
        // A line of length l and width w has the area l w and borders of 2 l.
        let width = 2.0 * area as f32 / border.max(1) as f32;
        let radius = (longest as f32 / 10.0 - width) / 2.0;
        if radius < 0.5 {
            return self.clone();
        }
        let (reach, margin) = (radius.ceil() as isize, radius.ceil() as usize);
        // The pen may reach beyond the picture.
        let (width, height) = (self.width + 2 * margin, self.height + 2 * margin);
        let mut strength = vec![0.0f32; width * height];
        for (index, value) in self.strength.iter().enumerate().filter(|(_, value)| **value > 0.0) {
            let (row, column) = ((index / self.width + margin) as isize, (index % self.width + margin) as isize);
            for down in -reach..=reach {
                for right in -reach..=reach {
                    let covered = (radius + 0.5 - ((down * down + right * right) as f32).sqrt()).clamp(0.0, 1.0);
                    let place = (row + down) as usize * width + (column + right) as usize;
                    strength[place] = strength[place].max(value * covered);
                }
            }
        }
        Self { width, height, strength }
    }

    /// The mean over a rectangle whose edges may lie within pixels.
    fn mean(&self, rows: Range<f32>, columns: Range<f32>) -> f32 {
        let covered =
            |place: usize, range: &Range<f32>| (range.end.min(place as f32 + 1.0) - range.start.max(place as f32)).max(0.0);
        let places = |range: &Range<f32>, most: usize| range.start as usize..(range.end.ceil() as usize).min(most);
        let mut sum = 0.0;
        for row in places(&rows, self.height) {
            for column in places(&columns, self.width) {
                sum += self.strength[row * self.width + column] * covered(row, &rows) * covered(column, &columns);
            }
        }
        sum / ((rows.end - rows.start) * (columns.end - columns.start))
    }

    /// Without what is far smaller than the digit, and without what comes in from the edge of the picture (a table, a finger, a
    /// vignette) where something else is there.
    pub(super) fn without_specks(mut self) -> Self {
        let pieces = self.pieces();
        let at_edge = |piece: &[usize]| {
            piece.iter().any(|&index| {
                let (row, column) = (index / self.width, index % self.width);
                row == 0 || column == 0 || row + 1 == self.height || column + 1 == self.width
            })
        };
        let (edge, inner): (Vec<_>, Vec<_>) = pieces.into_iter().partition(|piece| at_edge(piece));
        let largest = |pieces: &[Vec<usize>]| pieces.iter().map(Vec::len).max().unwrap_or(0);
        let keeps_edge = largest(&inner) * 10 < largest(&edge).min(self.strength.len() / 10);
        let kept = if keeps_edge { [edge, inner].concat() } else { inner };
        let least = largest(&kept) / 20;
        let mut stays = vec![false; self.strength.len()];
        kept.into_iter().filter(|piece| piece.len() > least).flatten().for_each(|index| stays[index] = true);
        self.strength.iter_mut().zip(stays).for_each(|(value, stays)| *value = if stays { *value } else { 0.0 });
        self
    }

    /// Places with ink that touch each other.
    fn pieces(&self) -> Vec<Vec<usize>> {
        let mut seen: Vec<bool> = self.strength.iter().map(|value| *value <= 0.0).collect();
        let mut pieces = Vec::new();
        for start in 0..seen.len() {
            if std::mem::replace(&mut seen[start], true) {
                continue;
            }
            let (mut piece, mut place) = (vec![start], 0);
            while let Some(&index) = piece.get(place) {
                let (row, column) = (index / self.width, index % self.width);
                for row in row.saturating_sub(1)..(row + 2).min(self.height) {
                    for column in column.saturating_sub(1)..(column + 2).min(self.width) {
                        let next = row * self.width + column;
                        if !std::mem::replace(&mut seen[next], true) {
                            piece.push(next);
                        }
                    }
                }
                place += 1;
            }
            pieces.push(piece);
        }
        pieces
    }
}

/// How far a place is from a line between two others.
fn distance(place: [f32; 2], from: [f32; 2], to: [f32; 2]) -> f32 {
    let ([x, y], [along, down]) = ([place[0] - from[0], place[1] - from[1]], [to[0] - from[0], to[1] - from[1]]);
    let length = along * along + down * down;
    let share = if length > 0.0 { ((x * along + y * down) / length).clamp(0.0, 1.0) } else { 0.0 };
    (x - share * along).hypot(y - share * down)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pen_leaves_a_line_of_its_width_with_round_ends_and_a_dot_where_it_only_stood() {
        let ink = Ink::of_strokes(&[vec![[10.0, 20.0], [30.0, 20.0]], vec![[30.0, 5.0]]], 6.0, 40);
        let inked = |column: usize, row: usize| ink.strength[row * 40 + column] > 0.5;
        let column: Vec<usize> = (0..40).filter(|row| inked(20, *row)).collect();
        assert_eq!(column, [17, 18, 19, 20, 21, 22]);
        let row: Vec<usize> = (0..40).filter(|column| inked(*column, 19)).collect();
        assert_eq!((row.first(), row.last()), (Some(&7), Some(&32)), "as far beyond each end as half its width");
        assert!(inked(30, 5) && !inked(30, 9) && !inked(7, 17), "a dot, and round ends");
        assert_eq!(Ink::of_strokes(&[Vec::new()], 6.0, 4).strength, [0.0; 16]);
        // A stroke may leave the paper.
        assert!(Ink::of_strokes(&[vec![[-9.0, 2.0], [2.0, -9.0]]], 2.0, 4).strength.iter().all(|value| *value == 0.0));
    }
}
