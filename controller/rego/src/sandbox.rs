//! Has rules read and asked by a child process, and gets along without it: whatever a rule does
//! there, here it is an answer or the lack of one.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lockmaster_core::release::Digest;
use lockmaster_core::rules::{LOOK_LIMIT, RuleOutcome, RuleQuestion};

use crate::child::{MEMORY, WORD};
use crate::job::{ANSWER_LIMIT, Answer, Job};
use crate::problem::RuleError;

/// How long one rule may take about one image. A rule over a few hundred packages takes well below
/// one millisecond.
const LIMIT: Duration = Duration::from_millis(300);
/// How long the next answer may take to come: the limit, and the start of a child on a busy machine.
/// Then the child does not stop by itself, and is killed.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long all questions of one look may take. Children run one after the other, so this is what
/// slow rules of one Environment can cost the passes of another one that has rules; those without
/// never wait here.
const BUDGET: Duration = Duration::from_millis(800);
/// Answers that are kept.
const KEPT: usize = 1024;
/// How long it is kept that there was no answer. Rules of a policy are asked with the minute, those of
/// an entry without, and both again while nothing is known.
const SILENT: Duration = Duration::from_mins(1);

/// Where rules are read and asked.
#[derive(Debug)]
pub struct Sandbox {
    program: Option<PathBuf>,
    /// Held while a child runs: two at a time would take twice the memory.
    turn: Mutex<()>,
    kept: Mutex<BTreeMap<Digest, (RuleOutcome, Instant)>>,
}

/// Why there is no next answer.
enum Silence {
    /// The child did not say it in time.
    Late,
    /// The child ended before it said it.
    Ended(String),
}

/// Whether an answer of that instant is kept: what says nothing, for a while only.
fn lasts(answer: &RuleOutcome, at: Instant) -> bool {
    answer.is_answer() || at.elapsed() < SILENT
}

impl Sandbox {
    /// Children are this very program, whose `main` must call [`crate::serve`] where
    /// [`crate::is_child`] says so.
    #[must_use]
    pub fn of_this_program() -> Self {
        // Where not even that is known, a start of nothing fails and says so.
        Self::new(Some(std::env::current_exe().unwrap_or_default()))
    }

    /// No sandbox at all: rules run in this process, which they can end. For tests.
    #[must_use]
    pub fn without_protection() -> Self {
        Self::new(None)
    }

    fn new(program: Option<PathBuf>) -> Self {
        Self {
            program,
            turn: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// What is wrong with each of these rules, as far as that is certain. One that the child could
    /// not read in time, or that ended it, has nothing wrong here: it will have no answer either when
    /// it is asked, and a machine that was busy for a moment makes no policy invalid.
    #[must_use]
    pub fn check(&self, rules: &[&str]) -> Vec<Option<RuleError>> {
        let job = Job::Check(rules.iter().map(|rego| (*rego).to_owned()).collect());
        let _one_at_a_time = lock(&self.turn);
        let (answers, _) = self.run(&job);
        let checked = answers.into_iter().map(|answer| match answer {
            Ok(Answer::Checked(problem)) => problem,
            Ok(Answer::Asked(_)) | Err(_) => None,
        });
        let mut checked: Vec<_> = checked.collect();
        checked.resize(rules.len(), None);
        checked
    }

    /// What was answered lately to the question with this key. Never blocks for long.
    #[must_use]
    pub fn known(&self, key: &Digest) -> Option<RuleOutcome> {
        let kept = lock(&self.kept);
        let (answer, at) = kept.get(key)?;
        lasts(answer, *at).then(|| answer.clone())
    }

    /// What the rules answer, by the keys of the questions; asked in their order, as long as there is
    /// time. Blocks, for [`BUDGET`] at most for each one who asks at the same time.
    #[must_use]
    pub fn ask(
        &self,
        questions: impl IntoIterator<Item = (Digest, RuleQuestion)>,
    ) -> BTreeMap<Digest, RuleOutcome> {
        let _one_at_a_time = lock(&self.turn);
        {
            let mut kept = lock(&self.kept);
            if kept.len() > KEPT {
                kept.clear();
            }
            kept.retain(|_, (answer, at)| lasts(answer, *at));
        }
        let (mut keys, mut asked, mut size) = (Vec::new(), Vec::new(), 0);
        let mut inputs: Vec<String> = Vec::new();
        let mut answers = BTreeMap::new();
        for (key, RuleQuestion { rego, input }) in questions {
            if let Some(answer) = self.known(&key) {
                answers.insert(key, answer);
                continue;
            }
            let known = inputs.iter().position(|known| *known == *input);
            let more = rego.len() + known.map_or(input.len(), |_| 0);
            if size + more > LOOK_LIMIT {
                answers.insert(key, unavailable("there is too much to look at"));
                continue;
            }
            size += more;
            let at = known.unwrap_or(inputs.len());
            if known.is_none() {
                inputs.push(input.as_ref().to_owned());
            }
            asked.push((rego.as_ref().to_owned(), at));
            keys.push(key);
        }
        let job = Job::Ask {
            inputs,
            questions: asked,
            limit: u64::try_from(LIMIT.as_millis()).unwrap_or(u64::MAX),
        };
        let (found, silence) = self.run(&job);
        let mut found = found.into_iter();
        for key in keys {
            let answer = match found.next() {
                Some(Ok(Answer::Asked(outcome))) => outcome,
                Some(Ok(Answer::Checked(_))) => unavailable("the answer is not one"),
                Some(Err(Silence::Late)) => RuleOutcome::TimedOut,
                Some(Err(Silence::Ended(how))) => unavailable(&how),
                // Not kept: the next look has time of its own, and those before it have answers.
                None => {
                    answers.insert(key, unavailable(&silence));
                    continue;
                }
            };
            lock(&self.kept).insert(key.clone(), (answer.clone(), Instant::now()));
            answers.insert(key, answer);
        }
        answers
    }

    /// Does a job by as many children as it takes: whoever ends or hangs costs its own answer, and
    /// the next one goes on behind it. Where the answers end before the job does, says why.
    fn run(&self, job: &Job) -> (Vec<Result<Answer, Silence>>, String) {
        let mut answers: Vec<Result<Answer, Silence>> = Vec::new();
        let Some(program) = &self.program else {
            job.work(|answer| {
                answers.push(Ok(answer));
                true
            });
            return (answers, String::new());
        };
        let end = Instant::now() + BUDGET;
        while answers.len() < job.len() {
            let mut child = match Running::start(program, &job.skip(answers.len())) {
                Ok(child) => child,
                Err(error) => {
                    let text = format!("failed to start the process that answers: {error}");
                    return (answers, text);
                }
            };
            let mut silent = false;
            while answers.len() < job.len() && !silent {
                let left = end.saturating_duration_since(Instant::now());
                let next = child.next(left.min(PATIENCE));
                if matches!(next, Err(Silence::Late)) && left < PATIENCE {
                    let text = "other rules took all the time that there is for one look";
                    return (answers, text.to_owned());
                }
                silent = next.is_err();
                answers.push(next);
            }
        }
        (answers, String::new())
    }
}

/// Writes the job and hands over the answers.
type Talk = Box<dyn FnOnce() + Send>;

/// A child, ended when it is let go.
struct Running {
    child: Child,
    answers: Receiver<Answer>,
}

impl Running {
    fn start(program: &PathBuf, job: &Job) -> std::io::Result<Self> {
        let job = serde_json::to_vec(job)?;
        let child = Command::new(program)
            .arg(WORD)
            // It is told nothing but its job.
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What a runtime says when it ends itself is for nobody.
            .stderr(Stdio::null())
            .spawn()?;
        let spawn = |talk: Talk| std::thread::Builder::new().spawn(talk).map(drop);
        Self::talk_to(child, job, spawn)
    }

    /// The child is ended and waited for on each way out of here.
    fn talk_to(
        child: Child,
        job: Vec<u8>,
        spawn: impl FnOnce(Talk) -> std::io::Result<()>,
    ) -> std::io::Result<Self> {
        let (sender, answers) = channel();
        let mut running = Self { child, answers };
        let (input, output) = (running.child.stdin.take(), running.child.stdout.take());
        let talk = move || {
            let written = input.map(|mut input| input.write_all(&job));
            let Some((Ok(()), output)) = written.zip(output) else {
                return;
            };
            let mut output = BufReader::new(output);
            loop {
                let mut line = Vec::new();
                let read = output
                    .by_ref()
                    .take(ANSWER_LIMIT)
                    .read_until(b'\n', &mut line);
                let answer = read.ok().and_then(|_| serde_json::from_slice(&line).ok());
                // No line, half a line, or nobody who waits: the child has nothing more to say.
                if answer.is_none_or(|answer| sender.send(answer).is_err()) {
                    return;
                }
            }
        };
        // Writing and reading may both block; the thread ends when the child does.
        spawn(Box::new(talk))?;
        Ok(running)
    }

    fn next(&mut self, patience: Duration) -> Result<Answer, Silence> {
        self.answers
            .recv_timeout(patience)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => Silence::Late,
                RecvTimeoutError::Disconnected => Silence::Ended(self.obituary()),
            })
    }

    fn obituary(&mut self) -> String {
        // It closed its output: it has ended, or is about to.
        let _ = self.child.kill();
        match self.child.wait() {
            Ok(status) => format!(
                "it ended the process that asks it ({status}): a rule has {} MiB of memory, and no \
                 function may go on for ever",
                MEMORY >> 20
            ),
            Err(error) => format!("the process that answers is lost: {error}"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails where it has ended already, and then it only has to be waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A panic while one of these is held leaves an answer unkept at worst.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable(problem: &str) -> RuleOutcome {
    RuleOutcome::Unavailable {
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads are scarce when this happens, and each zombie takes one more place.
    #[test]
    fn a_child_that_nobody_can_talk_to_is_not_left_behind() {
        let mut sleep = Command::new("sleep");
        let sleep = sleep.arg("600").stdin(Stdio::piped());
        let child = sleep.stdout(Stdio::piped()).spawn().unwrap();
        let folder = PathBuf::from(format!("/proc/{}", child.id()));
        assert!(folder.exists());
        let no_threads = |_| Err(std::io::ErrorKind::WouldBlock.into());
        assert!(Running::talk_to(child, Vec::new(), no_threads).is_err());
        assert!(!folder.exists(), "neither running nor a zombie");
    }

    #[test]
    fn where_no_process_starts_nothing_is_known_and_no_policy_invalid() {
        let sandbox = Sandbox::new(Some("/nowhere/lockmaster".into()));
        assert_eq!(sandbox.check(&["package lockmaster\nallow = ="]), [None]);
        let question = RuleQuestion {
            rego: "package lockmaster\nallow := true".into(),
            input: "{}".into(),
        };
        let key = question.key();
        let answers = sandbox.ask(BTreeMap::from([(key.clone(), question)]));
        match &answers[&key] {
            RuleOutcome::Unavailable { problem } => {
                assert!(problem.contains("failed to start the process"), "{problem}");
            }
            other => panic!("{other:?}"),
        }
    }
}
