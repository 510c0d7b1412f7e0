//! What `riposte bench` takes.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use riposte::models::Architecture;
use riposte::spec::Choice;
use riposte::spec::bench::{Protocol, Table};
use riposte::spec::dataset::DatasetId;

use super::DeviceArgs;
use super::parse::{choice, count};

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  riposte bench plan                              what there is to do, and how long it takes here
  riposte bench table2 --images 1000 --out runs/mnist       stop it at any time; the same command goes on
  riposte bench table2 table4 --weights fast.pth --architecture fast-mnist-cnn --models mnist-robust --out runs/mnist
  riposte bench all --budget 2h --device cuda     what fits into two hours, the most decisive cells first
  riposte bench table1 --shard 0/4 --out runs/a   the first quarter of the images of every cell
  riposte report runs/mnist                       the tables, as HTML, Markdown and JSON")]
pub struct SuiteArgs {
    /// Tables, `all` of them, or `plan` (alone or before tables): show the cells and compute nothing
    #[arg(value_name = "WHAT", required = true, value_parser = what())]
    pub what: Vec<What>,
    /// Folder of the results files, one for each cell
    #[arg(long, short, value_name = "DIR", default_value = "riposte-bench")]
    pub out: PathBuf,
    /// Test images of each cell with a post-training
    #[arg(long, short = 'n', value_name = "N", default_value = "1000", value_parser = count)]
    pub images: usize,
    /// Test images of each cell that only searches (Table 4) [default: all]
    #[arg(long, value_name = "N", value_parser = count)]
    pub search_images: Option<usize>,
    /// Seeds 0, 1, 2, ... of each cell whose answers depend on draws
    #[arg(long, value_name = "N", default_value = "3", value_parser = count)]
    pub seeds: usize,
    /// One of the two protocols alone
    #[arg(long, value_name = "NAME", value_parser = choice::<Protocol>())]
    pub protocol: Option<Protocol>,
    /// Cells whose name contains one of these texts, as `plan` shows them
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Stop after so much time, and begin nothing that does not fit into it: 90s, 30m, 2h
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub budget: Option<Duration>,
    /// Compute the images of part I of N alone, I from 0 to N - 1, into files of its own
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Models that come with the program [default: all of the datasets, unless there are --weights]
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub models: Vec<String>,
    /// A weights file as a further model; can be repeated
    #[arg(long, value_name = "FILE")]
    pub weights: Vec<PathBuf>,
    /// Architecture of the weights: one for all, or one for each in order [default: of the card beside them]
    #[arg(long, value_name = "NAME", requires = "weights")]
    pub architecture: Vec<Architecture>,
    /// Images of this dataset alone [default: what the models were trained on; the digits only if asked for]
    #[arg(long, value_name = "NAME", value_parser = choice::<DatasetId>())]
    pub dataset: Option<DatasetId>,
    /// Folder with the official files; otherwise they are taken from the cache folder or downloaded
    #[arg(long, value_name = "DIR", env = "RIPOSTE_DATA")]
    pub data: Option<PathBuf>,
    /// Draw the training samples of the riposte from the first N alone [default: all]
    #[arg(long, value_name = "N", value_parser = count)]
    pub post_samples: Option<usize>,
    /// Images attacked at once [default: 128 on the CPU, 512 on a GPU]
    #[arg(long, value_name = "N", value_parser = count)]
    pub batch: Option<usize>,
    /// Print one JSON object on standard output instead of the table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Plan,
    All,
    Table(Table),
}

/// One of several parts of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    pub index: usize,
    pub count: usize,
}

impl SuiteArgs {
    /// Whether to show the cells only.
    pub fn is_plan(&self) -> bool {
        self.what.contains(&What::Plan)
    }

    /// Whether this is the part, or the whole, that makes what is not split.
    pub fn is_first(&self) -> bool {
        self.shard.is_none_or(|shard| shard.index == 0)
    }

    /// The tables asked for, in their order.
    pub fn tables(&self) -> Vec<Table> {
        let named = |table: &Table| self.what.contains(&What::Table(*table));
        let any = self.what.iter().any(|what| matches!(what, What::Table(_)));
        let all = self.what.contains(&What::All) || !any;
        Table::ALL.iter().copied().filter(|table| all || named(table)).collect()
    }
}

impl Shard {
    /// The images of this part: as many as of every other, because any image costs as much as another before it is known. Where a part has
    /// many batches they are whole ones, those of one run.
    pub fn of(self, images: usize, batch: usize) -> Range<usize> {
        let Self { index, count } = self;
        let unit = if images >= 8 * batch * count { batch } else { 1 };
        let begin = |index: usize| if index == count { images } else { (images * index / count + unit / 2) / unit * unit };
        begin(index)..begin(index + 1)
    }

    /// What its files are called, but for `.jsonl`, and the part; `None` for a file of something else.
    pub fn in_name(stem: &str) -> Option<(&str, Self)> {
        let (name, part) = stem.rsplit_once(".shard-")?;
        Some((name, part.replacen("-of-", "/", 1).parse().ok()?))
    }
}

/// In names of files: `shard-0-of-4`
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard-{}-of-{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refusal = || format!("`{text}` is not a part such as 0/4, the first of four, or 3/4, the last");
        let (index, count) = text.split_once('/').ok_or_else(refusal)?;
        let shard = Self { index: index.parse().map_err(|_| refusal())?, count: count.parse().map_err(|_| refusal())? };
        if shard.index < shard.count { Ok(shard) } else { Err(refusal()) }
    }
}

fn what() -> impl TypedValueParser<Value = What> {
    let word = |name: &'static str, about: &'static str| PossibleValue::new(name).help(about);
    let tables = Table::ALL.iter().map(|table| word(table.name(), table.about()));
    let words = [word("plan", "The cells, what is done of them, and the time that the rest takes"), word("all", "Every table")];
    PossibleValuesParser::new(words.into_iter().chain(tables)).try_map(|text| match text.as_str() {
        "plan" => Ok(What::Plan),
        "all" => Ok(What::All),
        table => Table::named(table).map(What::Table),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_cell_follow_each_other_and_are_of_about_the_same_size() {
        for (images, count, batch) in [(1000, 4, 128), (10, 3, 128), (10_000, 7, 512), (2, 4, 128), (130, 1, 128)] {
            let parts: Vec<_> = (0..count).map(|index| Shard { index, count }.of(images, batch)).collect();
            assert_eq!((parts[0].start, parts[count - 1].end), (0, images));
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
            let equal = images as f64 / count as f64;
            assert!(parts.iter().all(|part| (part.len() as f64 - equal).abs() <= 1.0 + equal / 8.0), "{parts:?}");
        }
    }

    #[test]
    fn a_part_is_known_by_the_name_of_its_file() {
        let shard = Shard { index: 3, count: 12 };
        assert_eq!(Shard::in_name(&format!("mine-fixed-paper-seed0.{shard}")), Some(("mine-fixed-paper-seed0", shard)));
        for name in ["mine-fixed-paper-seed0", "a.shard-2-of-2", "a.shard-1", "a.shard-x-of-2"] {
            assert_eq!(Shard::in_name(name), None, "{name}");
        }
    }
}
