//! A part of the terminal that is drawn anew at each step; plain lines when there is no terminal.

use std::io::Write;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use console::Term;

use crate::interrupt::Interrupt;
use crate::picture::Picture;

/// Where a story is told, line by line and in moving frames.
#[derive(Debug)]
pub struct Screen {
    term: Term,
    live: bool,
    colors: bool,
    /// Lines of the frame on the screen.
    drawn: usize,
    /// Whether lines are said at all.
    silent: bool,
    /// What ends the story.
    pub interrupt: Interrupt,
}

impl Screen {
    /// On standard output, or on standard error when standard output is for a machine.
    pub fn new(output_is_for_machines: bool) -> Self {
        let term = if output_is_for_machines { Term::stderr() } else { Term::stdout() };
        let colors = if output_is_for_machines { console::colors_enabled_stderr() } else { console::colors_enabled() };
        Self { live: term.is_term(), colors, term, drawn: 0, silent: false, interrupt: Interrupt::default() }
    }

    /// Nowhere, until `interrupt` ends it.
    pub fn silent(interrupt: Interrupt) -> Self {
        Self { live: false, silent: true, interrupt, ..Self::new(true) }
    }

    /// # Errors
    /// [`riposte::Error::Cancelled`] if it is time to stop.
    pub fn check(&self) -> Result<()> {
        self.interrupt.check()
    }

    /// Whether frames are shown.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Says a line that stays.
    ///
    /// # Errors
    /// If the terminal cannot be written.
    pub fn say(&mut self, text: &str) -> Result<()> {
        self.keep_frame();
        if self.silent {
            return Ok(());
        }
        if self.live {
            for line in wrapped(text, usize::from(self.term.size().1).min(100)) {
                self.term.write_line(&line)?;
            }
            Ok(())
        } else {
            Ok(writeln!(self.term, "{text}")?)
        }
    }

    /// Draws a frame in the place of the one before, and waits long enough for an eye to see it. Nothing without a terminal.
    ///
    /// # Errors
    /// If the terminal cannot be written.
    pub fn frame(&mut self, lines: &[String]) -> Result<()> {
        if !self.live {
            return Ok(());
        }
        let (height, width) = self.term.size();
        // A frame taller than the terminal would scroll away from where it is drawn anew.
        let lines = &lines[..lines.len().min(usize::from(height).saturating_sub(1))];
        self.term.clear_last_lines(self.drawn)?;
        for line in lines {
            self.term.write_line(&console::truncate_str(line, usize::from(width), "\x1b[0m"))?;
        }
        self.drawn = lines.len();
        thread::sleep(Duration::from_millis(25));
        Ok(())
    }

    /// Leaves the frame on the screen: the next one is drawn below it.
    pub fn keep_frame(&mut self) {
        self.drawn = 0;
    }

    /// Pictures side by side under their names, as many as fit; none without a terminal or colors.
    pub fn pictures(&self, pictures: &[(&str, Picture)]) -> Vec<String> {
        const GAP: usize = 2;
        let width = usize::from(self.term.size().1);
        let fitting = pictures.first().map_or(0, |(_, picture)| (width + GAP) / (picture.width + GAP)).min(pictures.len());
        if !self.live || !self.colors || fitting == 0 {
            return Vec::new();
        }
        let pictures = &pictures[..fitting];
        let mut lines = vec![String::new()];
        for (name, picture) in pictures {
            lines[0] += &format!("{name:<width$}", width = picture.width + GAP);
        }
        let columns: Vec<Vec<String>> = pictures.iter().map(|(_, picture)| picture.half_blocks()).collect();
        for row in 0..columns[0].len() {
            lines.push(columns.iter().map(|column| column[row].as_str()).collect::<Vec<_>>().join(&" ".repeat(GAP)));
        }
        lines
    }
}

/// `name ######     93.1 %` with a bar of 30 characters.
pub fn bar(name: &str, share: f32) -> String {
    const WIDTH: usize = 30;
    let filled = ((share.clamp(0.0, 1.0) * WIDTH as f32).round() as usize).min(WIDTH);
    format!("{name:>12} {}{} {:>5.1} %", "\u{2588}".repeat(filled), "\u{00b7}".repeat(WIDTH - filled), 100.0 * share)
}

/// Breaks a text without control codes at spaces.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("", 7), [""]);
        assert_eq!(wrapped("unbreakable", 3), ["unbreakable"]);
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!(bar("7", 1.0).matches('\u{2588}').count(), 30);
        assert_eq!(bar("7", 0.0).matches('\u{2588}').count(), 0);
        assert_eq!(bar("7", f32::NAN).matches('\u{2588}').count(), 0);
    }
}
