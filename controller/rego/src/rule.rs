//! One rule: read strictly, and asked with a limit on its time.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lockmaster_core::release::clip;
use lockmaster_core::rules::{MESSAGES_LIMIT, REGO_LIMIT, RuleOutcome};
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};

use crate::calls::Module;
use crate::problem::{FILE, RuleError};

const ALLOW: &str = "data.lockmaster.allow";
const DENY: &str = "data.lockmaster.deny";

/// A rule that can be asked. What it says is safe to ask only in a process that may be killed: see
/// [`crate::Sandbox`].
pub struct Rule {
    engine: Engine,
    denies: bool,
}

/// A text that is no instant.
#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is no instant such as 2026-11-24T10:00:00Z")]
struct NoInstant(String);

/// Reads a rule: package `lockmaster`, Rego v1, a rule `allow`, and no call of anything whose answer
/// may change or that reaches outside.
pub fn compile(rego: &str) -> Result<Rule, RuleError> {
    let size = rego.chars().count();
    if size > REGO_LIMIT {
        return Err(RuleError::whole(&format!(
            "{size} characters, and at most {REGO_LIMIT} are read"
        )));
    }
    let mut engine = Engine::new();
    // What a builtin refuses is an error, and an error closes; undefined would pass below a `not`.
    engine.set_strict_builtin_errors(true);
    engine.set_gather_prints(true);
    let known = |problem: Option<RuleError>| problem.map_or(Ok(()), Err);
    let error = |error| RuleError::of_interpreter(&format!("{error:#}"));
    engine
        .add_extension(
            "time.parse_rfc3339_ns".to_owned(),
            1,
            // The interpreter's own would bring a second library for time, and a clock with it.
            Box::new(|arguments: Vec<Value>| {
                let instant = arguments.first().unwrap_or(&Value::Undefined);
                instant.as_string().and_then(|text| {
                    let instant = text.parse::<Timestamp>();
                    let instant = instant.map_err(|_| NoInstant(clip(text)))?;
                    Ok(Value::from(i64::try_from(instant.as_nanosecond())?))
                })
            }),
        )
        .map_err(error)?;
    engine
        .add_policy(FILE.to_owned(), rego.to_owned())
        .map_err(error)?;
    let tree = serde_json::to_value(engine.get_modules())
        .map_err(|error| RuleError::whole(&error.to_string()))?;
    let tree = tree.get(0).unwrap_or(&tree);
    let module = Module::new(tree);
    let package = module.package();
    if package != "lockmaster" {
        return Err(RuleError::at(
            1,
            1,
            &format!("its package is {package}, and must be lockmaster"),
        ));
    }
    if !module.defines("allow") {
        return Err(RuleError::whole(
            "there is no rule allow in it, such as: default allow := false",
        ));
    }
    known(module.refused())?;
    let denies = module.defines("deny");
    // Also finds variables that nothing binds.
    engine
        .compile_with_entrypoint(&ALLOW.into())
        .map_err(error)?;
    Ok(Rule { engine, denies })
}

impl Rule {
    /// What it answers to an input, which is JSON. It is asked to stop at `limit`, which it does
    /// between two steps and not within one; no answer that comes later counts.
    #[must_use]
    pub fn evaluate(&self, input: &str, limit: Duration) -> RuleOutcome {
        let started = Instant::now();
        let mut asked = Asked {
            engine: self.engine.clone(),
            started,
            limit,
        };
        let outcome = asked.answer(input, self.denies);
        // A step that is not interrupted may end after the limit, and an error below a function
        // hides what kind of error it was: the clock alone says whether there was time.
        if started.elapsed() >= limit {
            return RuleOutcome::TimedOut;
        }
        outcome.unwrap_or_else(|outcome| outcome)
    }
}

struct Asked {
    engine: Engine,
    started: Instant,
    limit: Duration,
}

impl Asked {
    fn answer(&mut self, input: &str, denies: bool) -> Result<RuleOutcome, RuleOutcome> {
        let input = Value::from_json_str(input).map_err(failed)?;
        self.engine.set_input(input);
        let allow = self.value(ALLOW)?;
        let messages = if denies {
            messages(&self.value(DENY)?)?
        } else {
            Vec::new()
        };
        match allow {
            Value::Bool(true) if messages.is_empty() => Ok(RuleOutcome::Allowed),
            Value::Undefined if messages.is_empty() => Ok(RuleOutcome::Undefined),
            Value::Bool(_) | Value::Undefined => Ok(RuleOutcome::Denied { messages }),
            Value::Null
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Set(_)
            | Value::Object(_) => Err(RuleOutcome::Malformed {
                problem: format!("allow is {}, and must be true or false", kind(&allow)),
            }),
        }
    }

    fn value(&mut self, rule: &str) -> Result<Value, RuleOutcome> {
        let config = ExecutionTimerConfig {
            limit: self.limit.saturating_sub(self.started.elapsed()),
            check_interval: NonZeroU32::MIN,
        };
        self.engine.set_execution_timer_config(config);
        self.engine.eval_rule(rule.to_owned()).map_err(failed)
    }
}

fn failed(error: impl std::fmt::Display) -> RuleOutcome {
    let error = RuleError::of_interpreter(&format!("{error:#}"));
    RuleOutcome::Failed {
        problem: if error.line == 0 {
            error.problem
        } else {
            error.to_string()
        },
    }
}

/// What `deny` says: texts, and nothing else.
fn messages(deny: &Value) -> Result<Vec<String>, RuleOutcome> {
    let wrong = |found: &str| RuleOutcome::Malformed {
        problem: format!("deny is {found}, and must be a set of texts"),
    };
    if *deny == Value::Undefined {
        return Ok(Vec::new());
    }
    let mut texts: Vec<String> = Vec::new();
    let mut add = |value: &Value| match value.as_string() {
        Ok(text) => {
            texts.push(clip(text));
            Ok(())
        }
        Err(_) => Err(wrong(&format!("a collection of {}", kind(value)))),
    };
    if let Ok(set) = deny.as_set() {
        set.iter().try_for_each(&mut add)?;
    } else if let Ok(array) = deny.as_array() {
        array.iter().try_for_each(&mut add)?;
    } else {
        return Err(wrong(kind(deny)));
    }
    let more = texts.len().saturating_sub(MESSAGES_LIMIT);
    texts.sort();
    texts.dedup();
    texts.truncate(MESSAGES_LIMIT);
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    Ok(texts)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Set(_) => "a set",
        Value::Object(_) => "an object",
        Value::Undefined => "undefined",
    }
}

#[cfg(test)]
mod tests;
