// SPDX-License-Identifier: GPL-2.0-only

use super::*;

/// What a command line of every kind of option has set.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    fast: bool,
    name: Option<Arg>,
    pair: Option<[Arg; 2]>,
}

static COMMAND: Command<Options> = Command {
    name: "try",
    synopsis: "[OPTION...] FILE",
    about: "Tries.\n",
    operand: Some(Operand {
        name: "FILE",
        help: "a file",
    }),
    flags: &[
        Flag {
            name: "--fast",
            help: "be fast",
            meaning: Meaning::Switch(|options| options.fast = true),
        },
        Flag {
            name: "--name",
            help: "a name\nof two lines",
            meaning: Meaning::Value("NAME", |options, name| {
                options.name = Some(name);
                Ok(())
            }),
        },
        Flag {
            name: "--a-pair-with-a-long-name",
            help: "two names",
            meaning: Meaning::Values(["A", "B"], |options, pair| options.pair = Some(pair)),
        },
    ],
    notes: "That is all.\n",
};

fn parse(args: &[Arg]) -> (Options, Vec<Result<Parsed, Wrong>>) {
    let mut options = Options::default();
    let mut parser = COMMAND.parse(args.iter().copied());
    let parsed = core::iter::from_fn(|| parser.next(&mut options)).collect();
    (options, parsed)
}

#[test]
fn each_kind_of_option_is_set() {
    let (options, parsed) = parse(&[
        c"--fast",
        c"--name",
        c"--fast",
        c"file",
        c"--a-pair-with-a-long-name",
        c"",
        c"--",
        c"--",
        c"--fast",
        c"--",
    ]);
    let want = Options {
        fast: true,
        name: Some(c"--fast"),
        pair: Some([c"", c"--"]),
    };
    assert_eq!(options, want);
    let operands = [c"file", c"--fast", c"--"].map(|operand| Ok(Parsed::Operand(operand)));
    let set = Ok(Parsed::Set);
    assert_eq!(
        parsed,
        [set, set, operands[0], set, operands[1], operands[2]]
    );
}

#[test]
fn a_value_may_be_joined() {
    for (arg, name) in [
        (c"--name=x", c"x"),
        (c"--name=", c""),
        (c"--name==a=b", c"=a=b"),
    ] {
        assert_eq!(parse(&[arg]).0.name, Some(name));
    }
    for arg in [c"--fast=1", c"--a-pair-with-a-long-name=1"] {
        assert_eq!(parse(&[arg, c"x"]).1[0], Err(Wrong::JoinedValue(arg)));
    }
    let unknown = c"--names=x";
    assert_eq!(parse(&[unknown]).1, [Err(Wrong::UnknownOption(unknown))]);
}

#[test]
fn every_program_has_the_common_options() {
    for (arg, request) in [
        (c"--help", Request::Help),
        (c"-h", Request::Help),
        (c"--version", Request::Version),
        (c"-V", Request::Version),
    ] {
        assert_eq!(parse(&[arg]).1, [Ok(Parsed::Request(request))]);
        assert_eq!(
            verify::parse([arg].into_iter(), 4096).map(|options| options.request),
            Ok(Some(request))
        );
        assert_eq!(
            stress::parse([arg].into_iter()).map(|options| options.request),
            Ok(Some(request))
        );
        assert!(bench::steps([arg].into_iter()).eq([Ok(bench::Step::Request(request))]));
    }
}

#[test]
fn help_has_everything_in_columns() {
    let want = "\
Usage: try [OPTION...] FILE

Tries.

  FILE                  a file
  --fast                be fast
  --name NAME           a name
                        of two lines
  --a-pair-with-a-long-name A B
                        two names
  -h, --help            print this text
  -V, --version         print the version

That is all.
";
    assert_eq!(COMMAND.help().to_string(), want);
}

#[test]
fn help_fits_a_terminal() {
    for help in [
        verify::COMMAND.help().to_string(),
        stress::COMMAND.help().to_string(),
        bench::COMMAND.help().to_string(),
    ] {
        let lines: Vec<_> = help.lines().filter(|line| line.len() > 80).collect();
        assert_eq!(lines, [""; 0]);
        assert!(help.ends_with(".\n"));
    }
}

#[test]
fn what_a_terminal_could_take_for_more_than_text_is_not_quoted() {
    let wrong = Wrong::UnknownOption(c"--\x1b[2J\n");
    assert_eq!(wrong.to_string(), "There is no option '--?[2J?'.");
}
