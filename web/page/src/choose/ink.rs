//! A digit on paper or on a screen, made into what MNIST's makers made of scanned ones: light ink on a dark ground, in a box of 20
//! of 28 pixels, its center of mass in the middle (<http://yann.lecun.com/exdb/mnist/>).
//!
//! A photograph has what a scan has not: shadows, paper of any color, a table's edge. The ground is estimated from place to place,
//! and ink is what differs from it.

/// How strongly each place is inked: `width * height` values in [0, 1], row by row.
#[derive(Clone, PartialEq)]
pub struct Ink {
    pub width: usize,
    pub height: usize,
    pub strength: Vec<f32>,
}

/// A color picture: `width * height` triples of red, green and blue in [0, 1], row by row.
pub struct Photo {
    pub width: usize,
    pub height: usize,
    pub colors: Vec<[f32; 3]>,
}

impl Photo {
    /// The middle of it, as wide as high.
    pub fn middle_square(&self) -> Self {
        let edge = self.width.min(self.height);
        let (left, top) = ((self.width - edge) / 2, (self.height - edge) / 2);
        let row = |row: usize| &self.colors[(top + row) * self.width + left..][..edge];
        Self { width: edge, height: edge, colors: (0..edge).flat_map(row).copied().collect() }
    }

    /// In another size, each pixel the mean of those it covers.
    pub fn shrunk(&self, width: usize, height: usize) -> Self {
        let span = |place: usize, of: usize, all: usize| place * all / of..((place + 1) * all).div_ceil(of);
        let color = |index: usize| {
            let (rows, columns) = (span(index / width, height, self.height), span(index % width, width, self.width));
            let count = (rows.len() * columns.len()) as f32;
            let covered = rows.flat_map(|row| &self.colors[row * self.width..][columns.clone()]);
            let sum = covered.fold([0.0; 3], |sum, color| std::array::from_fn(|channel| sum[channel] + color[channel]));
            sum.map(|value| value / count)
        };
        Self { width, height, colors: (0..width * height).map(color).collect() }
    }

    /// Whether the ground is lighter than what is on it. Most of the picture is ground, so its median is: what lies far from that, on one
    /// side more than on the other, is ink, or a shadow on paper.
    pub fn is_on_light_ground(&self) -> bool {
        let mut levels: Vec<f32> = self.colors.iter().map(|color| luma(*color)).collect();
        levels.sort_by(f32::total_cmp);
        let median = levels[levels.len() / 2];
        levels.iter().map(|level| (level - median).powi(3)).sum::<f32>() < 0.0
    }

    /// The ink on a light or a dark ground.
    pub fn ink(&self, light_ground: bool) -> Ink {
        let ground = Ground::estimate(self, light_ground);
        let mut strength: Vec<f32> = (0..self.width * self.height)
            .map(|index| {
                let (color, under) = (self.colors[index], ground.at(self, index % self.width, index / self.width));
                let differs = |channel: usize| {
                    let (value, under) = (color[channel], under[channel]);
                    if light_ground { (under - value) / under.max(0.1) } else { (value - under) / (1.0 - under).max(0.1) }
                };
                // Blue ink takes red away, yellow takes blue.
                (0..3).map(differs).fold(0.0, f32::max)
            })
            .collect();
        // What is half as strong as the strongest ink is ink: noise, and the edge of a shadow, are weaker.
        let mut sorted = strength.clone();
        sorted.sort_by(f32::total_cmp);
        let peak = sorted[(sorted.len() - 1) * 995 / 1000].max(0.05);
        strength.iter_mut().for_each(|value| *value = ((*value / peak - 0.4) / 0.3).clamp(0.0, 1.0));
        Ink { width: self.width, height: self.height, strength }.without_specks()
    }
}

impl Ink {
    /// The digit in a square of `edge` pixels; `None` where there is no ink.
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
                pixels[row as usize * edge + column as usize] = value;
            }
        }
        Some(pixels)
    }

    /// Rows and columns that hold ink.
    fn extent(&self) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
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
    fn mean(&self, rows: std::ops::Range<f32>, columns: std::ops::Range<f32>) -> f32 {
        let covered = |place: usize, range: &std::ops::Range<f32>| {
            (range.end.min(place as f32 + 1.0) - range.start.max(place as f32)).max(0.0)
        };
        let places = |range: &std::ops::Range<f32>, most: usize| range.start as usize..(range.end.ceil() as usize).min(most);
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
    fn without_specks(mut self) -> Self {
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

/// The ground's color, known at the middles of `across * down` cells.
struct Ground {
    across: usize,
    down: usize,
    cells: Vec<[f32; 3]>,
}

/// Cells along an edge, at most.
const CELLS: usize = 24;
/// Cells around one that say what its ground is: far enough to see past a thick stroke, near enough to follow a shadow.
const AROUND: usize = 4;

impl Ground {
    fn estimate(photo: &Photo, light: bool) -> Self {
        let (across, down) = (photo.width.min(CELLS), photo.height.min(CELLS));
        let means = photo.shrunk(across, down).colors;
        let near = |place: usize, count: usize| place.saturating_sub(AROUND)..(place + AROUND + 1).min(count);
        let cells = (0..across * down)
            .map(|cell| {
                let mut around: Vec<[f32; 3]> = near(cell / across, down)
                    .flat_map(|row| near(cell % across, across).map(move |column| row * across + column))
                    .map(|cell| means[cell])
                    .collect();
                around.sort_by(|one, other| luma(*one).total_cmp(&luma(*other)));
                // The lightest or darkest cells may be a reflection; beside the digit there are many others.
                around[(around.len() - 1) * if light { 4 } else { 1 } / 5]
            })
            .collect();
        Self { across, down, cells }
    }

    /// Between the middles of cells.
    fn at(&self, photo: &Photo, column: usize, row: usize) -> [f32; 3] {
        // The cell before a place, the one after it, and how far it is from the first.
        let place = |at: usize, of: usize, count: usize| {
            let exact = ((at as f32 + 0.5) * count as f32 / of as f32 - 0.5).clamp(0.0, (count - 1) as f32);
            (exact as usize, (exact as usize + 1).min(count - 1), exact.fract())
        };
        let (left, right, share) = place(column, photo.width, self.across);
        let (top, bottom, depth) = place(row, photo.height, self.down);
        std::array::from_fn(|channel| {
            let cell = |row: usize, column: usize| self.cells[row * self.across + column][channel];
            let upper = cell(top, left) * (1.0 - share) + cell(top, right) * share;
            let lower = cell(bottom, left) * (1.0 - share) + cell(bottom, right) * share;
            upper * (1.0 - depth) + lower * depth
        })
    }
}

/// How light a color is to the eye.
pub fn luma([red, green, blue]: [f32; 3]) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}
