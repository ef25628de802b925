//! Messages and questions during a deployment.
//!
//! Owns how steps are shown: with a spinner and the elapsed time if stderr is a terminal, as plain
//! lines otherwise, or as JSON lines on stdout for a script. Never decides anything.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use skypipe_protocol::text::{self, printable};
use zeroize::Zeroizing;

use crate::exit::{DONE, Failure};
use crate::output;
use crate::prompt::prompt;
use crate::report::{notice, words};

/// The time between two pictures of the spinner.
const FRAME: Duration = Duration::from_millis(100);

/// How often a question is asked before the answer counts as missing.
const TRIES: usize = 5;

/// One answer that a person can choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The answer's name, as a flag takes it.
    pub name: String,
    /// A few words on what the answer means.
    pub about: String,
}

/// Shows messages to the person and asks the person questions during a deployment.
pub trait Console {
    /// Begins a step that may take time, such as "push the image". The previous step is finished.
    fn begin(&mut self, step: &str);

    /// Finishes the current step. `detail` is shown with it unless it is empty ("5.1 MB").
    fn done(&mut self, detail: &str);

    /// Shows a message: a sentence without its full stop.
    fn say(&mut self, sentence: &str);

    /// Asks the person to choose one of several answers. If nobody can be asked, this is a usage
    /// failure that names `flag`.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    fn choose(&mut self, question: &str, choices: &[Choice], flag: &str) -> Result<usize, Failure>;

    /// Asks the person for a line of text. If nobody can be asked, this is a usage failure that
    /// names `flag`.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    fn text(&mut self, question: &str, flag: &str) -> Result<String, Failure>;

    /// Asks the person for yes or no. Returns `None` if nobody can be asked.
    ///
    /// # Errors
    ///
    /// When there is no answer at the terminal.
    fn confirm(&mut self, question: &str) -> Result<Option<bool>, Failure>;

    /// Asks the person for a secret, without showing the input. If nobody can be asked, this is a
    /// usage failure that says `instead`.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    fn secret(&mut self, question: &str, instead: &str) -> Result<Zeroizing<String>, Failure>;
}

/// The terminal, log or script to which a deployment reports.
#[derive(Debug)]
pub struct StdioConsole {
    form: Form,
    /// Whether the line of a step may be redrawn. It must not be while ssh may ask something at the
    /// terminal.
    is_lively: bool,
    step: Option<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Terminal,
    Plain,
    Json,
}

#[derive(Debug)]
struct Step {
    what: String,
    began: Instant,
    /// The spinner; only at a terminal.
    spinner: Option<ProgressBar>,
}

impl StdioConsole {
    /// Creates a console in the form that suits stderr, or for JSON.
    fn new(json: bool) -> Self {
        let form = match (json, io::stderr().is_terminal()) {
            (true, _) => Form::Json,
            (false, true) => Form::Terminal,
            (false, false) => Form::Plain,
        };
        Self {
            form,
            is_lively: true,
            step: None,
        }
    }

    /// Does `work` with a console of the suitable form, reports how the work ends, and returns the
    /// exit code.
    ///
    /// # Errors
    ///
    /// Those of the work.
    pub fn over(
        json: bool,
        work: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<u8, Failure> {
        if json {
            output::check()?;
        }
        let mut console = Self::new(json);
        let done = work(&mut console);
        if let Err(failure) = &done {
            console.fail(failure);
        }
        done.map(|()| DONE)
    }

    /// Stops redrawing between two messages, for programs that ask something at the terminal.
    pub fn keep_still(&mut self) {
        self.is_lively = false;
    }

    /// Writes an event for a script. Does nothing in the other forms.
    fn event(&self, event: &Value) {
        if self.form == Form::Json {
            // A script that no longer reads must not change what is done.
            let _ = output::show(&event_line(event));
        }
    }

    /// Reports the end and its result: `ready` or `gone`.
    pub fn finish(&mut self, event: &str, mut facts: Value) {
        self.end("");
        facts["event"] = event.into();
        self.event(&facts);
    }

    fn fail(&mut self, failure: &Failure) {
        let step = self.step.take();
        let what = step.as_ref().map(|step| step.what.clone());
        if let Some(step) = step {
            if let Some(spinner) = &step.spinner {
                spinner.finish_and_clear();
            }
            if self.form == Form::Terminal {
                line(&format!("✗ {}", step.what));
            }
        }
        self.event(&json!({"event": "failed", "step": what, "error": failure.sentence}));
    }

    fn can_ask(&self) -> bool {
        self.form == Form::Terminal && io::stdin().is_terminal()
    }

    fn end(&mut self, detail: &str) {
        let Some(step) = self.step.take() else {
            return;
        };
        let took = step.began.elapsed();
        if let Some(spinner) = &step.spinner {
            spinner.finish_and_clear();
        }
        let text = step_over(&step.what, detail, took);
        match self.form {
            Form::Terminal => line(&format!("✓ {text}")),
            Form::Plain => notice(&text),
            Form::Json => self.event(&json!({
                "event": "done",
                "step": step.what,
                "detail": detail,
                "seconds": took.as_secs_f64(),
            })),
        }
    }

    /// Asks a question. The spinner is hidden while the question is on the screen.
    fn ask(&self, text: &str) -> Result<String, Failure> {
        let ask = || {
            let _ = write!(io::stderr(), "{text}");
            let mut answer = String::new();
            let count = io::stdin().read_line(&mut answer);
            match count {
                Ok(0) => Err(Failure::failed("there was no answer")),
                Ok(_) => Ok(answer.trim().to_owned()),
                Err(error) => Err(Failure::failed(format!(
                    "cannot ask at the terminal: {}",
                    words(&error)
                ))),
            }
        };
        match self.step.as_ref().and_then(|step| step.spinner.as_ref()) {
            Some(spinner) => spinner.suspend(ask),
            None => ask(),
        }
    }
}

/// One line of JSON. It is safe to show at a terminal, too.
fn event_line(event: &Value) -> String {
    text::json(&event.to_string()).into_owned() + "\n"
}

fn line(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text));
}

/// The line of a finished step: `push the image: 5.1 MB, 3.2 s`.
fn step_over(what: &str, detail: &str, took: Duration) -> String {
    let tenths = took.as_millis() / 100;
    let time = format!("{}.{} s", tenths / 10, tenths % 10);
    match (detail.is_empty(), tenths) {
        (true, 0) => what.to_owned(),
        (true, _) => format!("{what}: {time}"),
        (false, 0) => format!("{what}: {detail}"),
        (false, _) => format!("{what}: {detail}, {time}"),
    }
}

impl Console for StdioConsole {
    fn begin(&mut self, step: &str) {
        self.end("");
        let spinner = match self.form {
            Form::Terminal if !self.is_lively => {
                line(&format!("  {step} ..."));
                None
            }
            Form::Terminal => {
                let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
                let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
                let spinner = ProgressBar::new_spinner().with_style(style);
                spinner.set_message(printable(step).into_owned());
                spinner.enable_steady_tick(FRAME);
                Some(spinner)
            }
            Form::Plain => {
                notice(&format!("{step} ..."));
                None
            }
            Form::Json => {
                self.event(&json!({"event": "begin", "step": step}));
                None
            }
        };
        self.step = Some(Step {
            what: step.to_owned(),
            began: Instant::now(),
            spinner,
        });
    }

    fn done(&mut self, detail: &str) {
        self.end(detail);
    }

    fn say(&mut self, sentence: &str) {
        self.event(&json!({"event": "note", "text": sentence}));
        match self.step.as_ref().and_then(|step| step.spinner.as_ref()) {
            Some(spinner) => spinner.suspend(|| notice(sentence)),
            None => notice(sentence),
        }
    }

    fn choose(&mut self, question: &str, choices: &[Choice], flag: &str) -> Result<usize, Failure> {
        if !self.can_ask() {
            let names: Vec<_> = choices.iter().map(|choice| choice.name.as_str()).collect();
            return Err(Failure::usage(format!(
                "{question} There is no terminal to ask at: add {flag} (one of {})",
                names.join(", ")
            )));
        }
        let text = menu(question, choices);
        for _ in 0..TRIES {
            if let Some(chosen) = chosen(&self.ask(&text)?, choices) {
                return Ok(chosen);
            }
        }
        Err(Failure::usage("no valid answer was given"))
    }

    fn text(&mut self, question: &str, flag: &str) -> Result<String, Failure> {
        if !self.can_ask() {
            return Err(Failure::usage(format!(
                "there is no terminal to ask at: add {flag}"
            )));
        }
        self.ask(&format!("{}: ", printable(question)))
    }

    fn confirm(&mut self, question: &str) -> Result<Option<bool>, Failure> {
        if !self.can_ask() {
            return Ok(None);
        }
        let answer = self.ask(&format!("skypipe: {} [y/N] ", printable(question)))?;
        Ok(Some(matches!(answer.as_str(), "y" | "Y" | "yes")))
    }

    fn secret(&mut self, question: &str, instead: &str) -> Result<Zeroizing<String>, Failure> {
        if !self.can_ask() {
            return Err(Failure::usage(instead));
        }
        let ask = || prompt(&format!("{question}: "));
        match self.step.as_ref().and_then(|step| step.spinner.as_ref()) {
            Some(spinner) => spinner.suspend(ask),
            None => ask(),
        }
    }
}

/// A question with its numbered answers, each with a few words.
fn menu(question: &str, choices: &[Choice]) -> String {
    let widths = choices.iter().map(|choice| choice.name.chars().count());
    let width = widths.max().unwrap_or_default();
    let line = |(number, choice): (usize, &Choice)| {
        let blanks = " ".repeat(width - choice.name.chars().count());
        let (name, about) = (printable(&choice.name), printable(&choice.about));
        format!("{:>3}) {name}{blanks}  {about}\n", number + 1)
    };
    let lines: String = choices.iter().enumerate().map(line).collect();
    format!("{}\n{lines}number or name: ", printable(question))
}

/// The index of the chosen answer; `None` if the input names none.
fn chosen(answer: &str, choices: &[Choice]) -> Option<usize> {
    let by_name = choices.iter().position(|choice| choice.name == answer);
    let by_number = || answer.parse::<usize>().ok()?.checked_sub(1);
    by_name
        .or_else(by_number)
        .filter(|chosen| *chosen < choices.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices() -> Vec<Choice> {
        let choice = |name: &str, about: &str| Choice {
            name: name.to_owned(),
            about: about.to_owned(),
        };
        vec![
            choice("fly", "an app of your own"),
            choice("docker", "a container"),
        ]
    }

    #[test]
    fn an_answer_is_a_number_or_a_name() {
        let choices = choices();
        assert_eq!(chosen("1", &choices), Some(0));
        assert_eq!(chosen("docker", &choices), Some(1));
        for nonsense in ["0", "3", "", "dock", "-1", "99999999999999999999"] {
            assert_eq!(chosen(nonsense, &choices), None, "{nonsense}");
        }
    }

    #[test]
    fn what_a_platform_answers_is_json_that_cannot_harm_a_terminal() {
        let event = json!({"error": "\u{1b}[2J\u{202e}\u{e0041}\n"});
        let line = event_line(&event);
        assert_eq!(line, "{\"error\":\"\\u001b[2J\\u202e\\udb40\\udc41\\n\"}\n");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), event);
    }

    #[test]
    fn each_choice_has_a_line() {
        let expected = "\
Where?
  1) fly     an app of your own
  2) docker  a container
number or name: ";
        assert_eq!(menu("Where?", &choices()), expected);
    }

    #[test]
    fn a_step_tells_its_time_when_it_took_some() {
        let over = |detail, millis| step_over("push", detail, Duration::from_millis(millis));
        assert_eq!(over("", 99), "push");
        assert_eq!(over("", 1_250), "push: 1.2 s");
        assert_eq!(over("5.1 MB", 20), "push: 5.1 MB");
        assert_eq!(over("5.1 MB", 61_000), "push: 5.1 MB, 61.0 s");
    }
}
