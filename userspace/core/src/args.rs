// SPDX-License-Identifier: GPL-2.0-only

//! The command lines of the three programs, and the parser that reads them.
//!
//! A program is a [`Command`]: what it is for, and one [`Flag`] for each of its options, which has
//! the option's name, its value, its help text and its meaning in one place. To add an option, add a
//! [`Flag`] to the list in [`verify`], [`stress`] or [`bench`]: the parser, `--help` and the errors
//! take everything from there.

use core::ffi::CStr;
use core::fmt::{self, Display, Formatter, Write};

pub mod bench;
pub mod stress;
pub mod verify;

/// An argument, as the kernel hands it to the program: it lives as long as the program.
pub type Arg = &'static CStr;

/// A program's command line. `O` is what the options set.
pub struct Command<O: 'static> {
    /// The program.
    pub name: &'static str,
    /// What follows the name in the first line of `--help`.
    pub synopsis: &'static str,
    /// What the program does: whole lines.
    pub about: &'static str,
    /// The arguments that are no options, if the program takes any.
    pub operand: Option<Operand>,
    /// The options, in the order of `--help`. Every program has [`Common`] ones, too.
    pub flags: &'static [Flag<O>],
    /// The end of `--help`: whole lines.
    pub notes: &'static str,
}

/// The arguments that are no options.
pub struct Operand {
    /// What `--help` calls one.
    pub name: &'static str,
    /// What the program does with it.
    pub help: &'static str,
}

/// An option.
pub struct Flag<O: 'static> {
    /// Its name, with the dashes.
    pub name: &'static str,
    /// What `--help` says of it: each line of it goes into a line of its own.
    pub help: &'static str,
    /// What it takes, and what it sets.
    pub meaning: Meaning<O>,
}

/// What an option takes, and what it sets.
pub enum Meaning<O> {
    /// It takes no value.
    Switch(fn(&mut O)),
    /// It takes one value, which `--help` calls so.
    Value(&'static str, fn(&mut O, Arg) -> Result<(), Expected>),
    /// It takes two.
    Values([&'static str; 2], fn(&mut O, [Arg; 2])),
}

/// What a value should have been: completes the sentence "expected …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected(pub &'static str);

/// An option that every program has.
struct Common {
    name: &'static str,
    short: &'static str,
    help: &'static str,
    request: Request,
}

/// What can be asked for instead of the program's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The text that [`Command::help`] gives.
    Help,
    /// The program's name and version.
    Version,
}

const COMMON: [Common; 2] = [
    Common {
        name: "--help",
        short: "-h",
        help: "print this text",
        request: Request::Help,
    },
    Common {
        name: "--version",
        short: "-V",
        help: "print the version",
        request: Request::Version,
    },
];

/// What the parser made of an argument, or of an option and its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// An option, which has been set.
    Set,
    /// An argument that is no option.
    Operand(Arg),
    /// A request that stands in place of the program's work.
    Request(Request),
}

/// What is wrong with a command line. It is shown as whole sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// There is no such option.
    UnknownOption(Arg),
    /// The program takes no argument that is no option.
    UnexpectedOperand(Arg),
    /// In place of what `--help` calls so there is an empty argument.
    EmptyOperand(&'static str),
    /// Nothing follows an option that takes a value.
    MissingValue {
        /// The option.
        option: &'static str,
        /// What `--help` calls the value.
        value: &'static str,
    },
    /// A value was joined by `=` to an option that does not take exactly one.
    JoinedValue(Arg),
    /// The value of an option is not of the kind that it takes.
    Value {
        /// The option.
        option: &'static str,
        /// Its value.
        seen: Arg,
        /// What the value should have been.
        expected: Expected,
    },
    /// Options that do not go together: a whole sentence says which do.
    Combination(&'static str),
}

impl<O> Command<O> {
    /// Reads the arguments that follow the program's name, one after the other.
    pub fn parse<A: Iterator<Item = Arg>>(&'static self, args: A) -> Parser<O, A> {
        Parser {
            command: self,
            args,
            options_ended: false,
        }
    }

    /// What `--help` prints.
    pub fn help(&self) -> impl Display + '_ {
        Help(self)
    }

    fn flag(&self, name: &[u8]) -> Option<&'static Flag<O>> {
        self.flags.iter().find(|flag| flag.name.as_bytes() == name)
    }
}

/// Reads a command line: see [`Command::parse`].
pub struct Parser<O: 'static, A> {
    command: &'static Command<O>,
    args: A,
    /// `--` has been read: what follows is no option, whatever it looks like.
    options_ended: bool,
}

impl<O, A: Iterator<Item = Arg>> Parser<O, A> {
    /// Reads the next argument, and the values of an option with it. `None` is the end.
    ///
    /// # Errors
    ///
    /// [`Wrong`] says what cannot be understood.
    pub fn next(&mut self, options: &mut O) -> Option<Result<Parsed, Wrong>> {
        let mut arg = self.args.next()?;
        if arg == c"--" && !self.options_ended {
            self.options_ended = true;
            arg = self.args.next()?;
        }
        if self.options_ended || !arg.to_bytes().starts_with(b"-") {
            return Some(self.operand(arg));
        }
        Some(self.option(arg, options))
    }

    fn operand(&self, arg: Arg) -> Result<Parsed, Wrong> {
        match &self.command.operand {
            None => Err(Wrong::UnexpectedOperand(arg)),
            Some(operand) if arg.is_empty() => Err(Wrong::EmptyOperand(operand.name)),
            Some(_) => Ok(Parsed::Operand(arg)),
        }
    }

    fn option(&mut self, arg: Arg, options: &mut O) -> Result<Parsed, Wrong> {
        let bytes = arg.to_bytes();
        for common in &COMMON {
            if bytes == common.name.as_bytes() || bytes == common.short.as_bytes() {
                return Ok(Parsed::Request(common.request));
            }
        }
        let (name, joined) = match split_value(arg) {
            Some((name, value)) => (name, Some(value)),
            None => (bytes, None),
        };
        let flag = self.command.flag(name).ok_or(Wrong::UnknownOption(arg))?;
        match (&flag.meaning, joined) {
            (Meaning::Switch(set), None) => set(options),
            (Meaning::Value(value, set), joined) => {
                let seen = joined.map_or_else(|| self.value(flag, value), Ok)?;
                set(options, seen).map_err(|expected| Wrong::Value {
                    option: flag.name,
                    seen,
                    expected,
                })?;
            }
            (Meaning::Values([first, second], set), None) => {
                let values = [self.value(flag, first)?, self.value(flag, second)?];
                set(options, values);
            }
            (_, Some(_)) => return Err(Wrong::JoinedValue(arg)),
        }
        Ok(Parsed::Set)
    }

    /// The next argument, whatever it looks like, as a value of an option.
    fn value(&mut self, flag: &Flag<O>, value: &'static str) -> Result<Arg, Wrong> {
        self.args.next().ok_or(Wrong::MissingValue {
            option: flag.name,
            value,
        })
    }
}

/// The name and the value of `--NAME=VALUE`.
fn split_value(arg: Arg) -> Option<(&'static [u8], Arg)> {
    let equals = arg.to_bytes().iter().position(|&byte| byte == b'=')?;
    let value = CStr::from_bytes_with_nul(&arg.to_bytes_with_nul()[equals + 1..]).ok()?;
    Some((&arg.to_bytes()[..equals], value))
}

/// Finds the one of some values that has this name.
pub(crate) fn choice<T: Copy>(
    choices: &[(&str, T)],
    name: Arg,
    expected: &'static str,
) -> Result<T, Expected> {
    choices
        .iter()
        .find(|(other, _)| other.as_bytes() == name.to_bytes())
        .map(|&(_, value)| value)
        .ok_or(Expected(expected))
}

/// An argument as the errors quote it: what is not printable ASCII becomes a question mark.
struct Quoted(Arg);

impl Display for Quoted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('\'')?;
        for &byte in self.0.to_bytes() {
            let printable = matches!(byte, b' '..=b'~');
            f.write_char(if printable { byte.into() } else { '?' })?;
        }
        f.write_char('\'')
    }
}

impl Display for Wrong {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UnknownOption(arg) => write!(f, "There is no option {}.", Quoted(arg)),
            Self::EmptyOperand(operand) => {
                write!(f, "An argument is empty; expected an option or {operand}.")
            }
            Self::UnexpectedOperand(arg) => {
                write!(
                    f,
                    "The argument {} is not an option; expected only options.",
                    Quoted(arg)
                )
            }
            Self::MissingValue { option, value } => {
                write!(f, "{option} takes {value}, but nothing follows it.")
            }
            Self::JoinedValue(arg) => {
                write!(
                    f,
                    "In {}, the option does not take one value after '='.",
                    Quoted(arg)
                )
            }
            Self::Value {
                option,
                seen,
                expected: Expected(expected),
            } => {
                write!(
                    f,
                    "The value of {option} is {}; expected {expected}.",
                    Quoted(seen)
                )
            }
            Self::Combination(sentence) => f.write_str(sentence),
        }
    }
}

/// See [`Command::help`].
struct Help<'c, O: 'static>(&'c Command<O>);

/// The column of the help texts.
const COLUMN: usize = 24;

impl<O> Display for Help<'_, O> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let command = self.0;
        writeln!(f, "Usage: {} {}\n", command.name, command.synopsis)?;
        writeln!(f, "{}", command.about)?;
        if let Some(operand) = &command.operand {
            entry(f, format_args!("{}", operand.name), operand.help)?;
        }
        for flag in command.flags {
            let name = flag.name;
            match flag.meaning {
                Meaning::Switch(_) => entry(f, format_args!("{name}"), flag.help)?,
                Meaning::Value(value, _) => entry(f, format_args!("{name} {value}"), flag.help)?,
                Meaning::Values([first, second], _) => {
                    entry(f, format_args!("{name} {first} {second}"), flag.help)?;
                }
            }
        }
        for Common {
            name, short, help, ..
        } in &COMMON
        {
            entry(f, format_args!("{short}, {name}"), help)?;
        }
        write!(f, "\n{}", command.notes)
    }
}

/// Writes an option and its help text beside it, or below it where there is no room.
fn entry(f: &mut Formatter<'_>, what: fmt::Arguments<'_>, help: &str) -> fmt::Result {
    let mut left = Left { f, length: 0 };
    write!(left, "  {what}")?;
    let mut column = left.length;
    if column + 2 > COLUMN {
        f.write_char('\n')?;
        column = 0;
    }
    for line in help.lines() {
        writeln!(f, "{:width$}{line}", "", width = COLUMN - column)?;
        column = 0;
    }
    Ok(())
}

/// Counts what is written. All of it is ASCII.
struct Left<'f, 'g> {
    f: &'f mut Formatter<'g>,
    length: usize,
}

impl Write for Left<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.length += text.len();
        self.f.write_str(text)
    }
}

#[cfg(test)]
mod tests;
