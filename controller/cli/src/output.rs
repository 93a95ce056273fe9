//! What is written where: results to stdout, everything else to stderr; colours and marks.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Context as _;
use lockmaster_core::gate::Verdict;
use lockmaster_core::report::Marks;
use lockmaster_core::status::State;
use serde::Serialize;

use crate::args::{ColorChoice, Display, Format};

/// API version of every JSON and YAML answer that is no Kubernetes object.
pub(crate) const API_VERSION: &str = "cli.lockmaster.dev/v1";

/// How text is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// Symbols or ASCII.
    pub(crate) marks: Marks,
    color: bool,
}

impl Style {
    /// What the flags, the terminal and `NO_COLOR` (<https://no-color.org>) say.
    pub(crate) fn of(display: &Display) -> Self {
        let environment = |name: &str| std::env::var_os(name).unwrap_or_default();
        let color = match display.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                io::stdout().is_terminal()
                    && environment("NO_COLOR").is_empty()
                    && environment("TERM") != "dumb"
            }
        };
        let marks = if display.ascii {
            Marks::Ascii
        } else {
            Marks::Unicode
        };
        Self { marks, color }
    }

    /// The mark of a verdict, as `core`'s report draws it.
    pub(crate) fn verdict(self, verdict: Verdict) -> &'static str {
        match (self.marks, verdict) {
            (Marks::Unicode, Verdict::Pass) => "✔",
            (Marks::Unicode, Verdict::Hold) => "◷",
            (Marks::Unicode, Verdict::Deny) => "✘",
            (Marks::Unicode, Verdict::NotRequired) => "·",
            (Marks::Ascii, Verdict::Pass) => "+",
            (Marks::Ascii, Verdict::Hold) => "o",
            (Marks::Ascii, Verdict::Deny) => "x",
            (Marks::Ascii, Verdict::NotRequired) => "-",
            (Marks::Unicode | Marks::Ascii, Verdict::Unknown) => "?",
        }
    }

    /// The mark of a promotion that is not over.
    pub(crate) fn state(self, state: State) -> &'static str {
        let meaning = state.meaning();
        match (self.marks, meaning.reconciling, state == State::Blocked) {
            (Marks::Unicode, true, _) => "▶",
            (Marks::Ascii, true, _) => ">",
            (_, false, true) => self.verdict(Verdict::Deny),
            (_, false, false) => self.verdict(Verdict::Hold),
        }
    }

    /// The branches of a tree: to one of several, to the last, past one, past the last.
    pub(crate) fn branches(self) -> [&'static str; 4] {
        match self.marks {
            Marks::Unicode => ["├─ ", "└─ ", "│  ", "   "],
            Marks::Ascii => ["|- ", "`- ", "|  ", "   "],
        }
    }

    /// Writes a result for people to stdout.
    pub(crate) fn print(self, text: &str) -> anyhow::Result<()> {
        result(&self.paint(&clean(text)))
    }

    /// The text with its marks coloured. State is never told by colour alone: the marks stay.
    fn paint(self, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        text.split_inclusive('\n').map(paint_line).collect()
    }
}

/// The line with the mark that it begins with, behind branches and spaces, in colour.
fn paint_line(line: &str) -> String {
    let drawn = |c: char| c == ' ' || "├└│─|`".contains(c);
    let start = line.find(|c| !drawn(c)).unwrap_or(line.len());
    let (before, rest) = line.split_at(start);
    let Some((mark, after)) = rest.split_once(' ') else {
        return line.to_owned();
    };
    let code = match mark {
        "✔" | "+" => "32",
        "◷" | "o" | "?" => "33",
        "✘" | "x" => "31",
        "▶" | ">" => "36",
        "·" => "2",
        _ => return line.to_owned(),
    };
    format!("{before}\u{1b}[{code}m{mark}\u{1b}[0m {after}")
}

/// The text without anything that could make a terminal show something else than what is there:
/// messages repeat what registries and people wrote.
pub(crate) fn clean(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(|c| !hidden(*c)).collect()
}

/// Writes to stdout. A reader that went away (`| head`) has what it wanted.
pub(crate) fn result(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("failed to write to stdout"),
    }
}

/// Writes a line to stderr.
pub(crate) fn note(text: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{}", clean(text));
}

/// Writes a value to stdout.
pub(crate) fn value<T: Serialize>(format: Format, value: &T) -> anyhow::Result<()> {
    let text = match format {
        Format::Json => serde_json::to_string_pretty(value).context("failed to write JSON")? + "\n",
        Format::Yaml => yaml(value)?,
    };
    result(&text)
}

/// A value as YAML.
pub(crate) fn yaml<T: Serialize>(value: &T) -> anyhow::Result<String> {
    serde_saphyr::to_string(value).context("failed to write YAML")
}

/// Columns as wide as their widest cell, two spaces apart; nothing behind the last one.
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths);
            let cells = cells.map(|(cell, width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            line.trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLOR: Style = Style {
        marks: Marks::Unicode,
        color: true,
    };

    #[test]
    fn marks_are_coloured_and_stay() {
        let text = "BLOCKED by 1 of 8 gates\n  ✘ signature  x\n│  ├─ ◷ window\nnothing\n";
        assert_eq!(
            COLOR.paint(text),
            "BLOCKED by 1 of 8 gates\n  \u{1b}[31m✘\u{1b}[0m signature  x\n\
             │  ├─ \u{1b}[33m◷\u{1b}[0m window\nnothing\n"
        );
        let plain = Style {
            color: false,
            ..COLOR
        };
        assert_eq!(plain.paint(text), text);
    }

    #[test]
    fn nothing_can_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\r\nc\u{202e}d"), "a[2Jb\ncd");
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        let rows = [
            row(&["STAGE", "RUNNING"]),
            row(&["prod", ""]),
            row(&["é", "1.0.0"]),
        ];
        assert_eq!(table(&rows), ["STAGE  RUNNING", "prod", "é      1.0.0"]);
    }
}
