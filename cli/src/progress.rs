//! The progress of long work, as a bar on a terminal and as a line every few seconds elsewhere, and
//! its orderly end by Ctrl-C.

use std::io;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sessile::admin::Progress;
use sessile::{SalvageProgress, SalvageStep};

use crate::failure::{Failure, INTERRUPTED};
use crate::output::{complain, warn};
use crate::{drafts, signals};

static INTERRUPTED_BY_USER: AtomicBool = AtomicBool::new(false);
static AT_ONCE: AtomicBool = AtomicBool::new(false);
const LINE_EVERY: Duration = Duration::from_secs(5);
const COUNTED_EVERY: u64 = 256;

/// Installs the handler of Ctrl-C. The first signal ends the work at its next step, so that nothing
/// half-written stays; the second signal removes the tool's drafts and ends it.
pub(crate) fn listen_for_interrupts() {
    let set = signals::on_each(|| {
        if INTERRUPTED_BY_USER.swap(true, Ordering::SeqCst) || AT_ONCE.load(Ordering::SeqCst) {
            drafts::remove();
            std::process::exit(i32::from(INTERRUPTED));
        }
    });
    if let Err(error) = set {
        warn(format!("Ctrl-C will end the tool at once, without a handler: {error}"));
    }
}

pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED_BY_USER.load(Ordering::SeqCst)
}

/// For a visitor: whether it goes on.
pub(crate) fn flow() -> ControlFlow<()> {
    match is_interrupted() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

pub(crate) fn ensure_not_interrupted() -> Result<(), Failure> {
    match is_interrupted() {
        true => Err(Failure::interrupted()),
        false => Ok(()),
    }
}

/// Does work that has no steps, and that may end at any moment: the first Ctrl-C ends the tool.
pub(crate) fn at_once<T>(work: impl FnOnce() -> T) -> Result<T, Failure> {
    AT_ONCE.store(true, Ordering::SeqCst);
    // A signal before this line left only its mark.
    let done = ensure_not_interrupted().map(|()| work());
    AT_ONCE.store(false, Ordering::SeqCst);
    done
}

/// As [`at_once`], and shows that the work goes on.
pub(crate) fn without_steps<T>(
    action: &'static str,
    quiet: bool,
    work: impl FnOnce() -> T,
) -> Result<T, Failure> {
    let meter = Meter::new(action, quiet);
    if let Some(bar) = &meter.bar {
        bar.set_style(ProgressStyle::default_spinner());
        bar.enable_steady_tick(Duration::from_millis(100));
    }
    thread::scope(|scope| {
        // Dropping `running` ends the thread.
        let (running, ended) = mpsc::channel::<()>();
        let (lines, begun) = (meter.lines, meter.begun);
        scope.spawn(move || {
            while ended.recv_timeout(LINE_EVERY) == Err(RecvTimeoutError::Timeout) {
                if lines {
                    complain(format!("{action}: {} s so far", begun.elapsed().as_secs()));
                }
            }
        });
        let done = at_once(work);
        drop(running);
        done
    })
}

pub(crate) struct Meter {
    action: &'static str,
    bar: Option<ProgressBar>,
    lines: bool,
    begun: Instant,
    told: Instant,
    counted: u64,
}

impl Meter {
    pub(crate) fn new(action: &'static str, quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = (!quiet && terminal).then(|| {
            let bar = ProgressBar::no_length().with_message(action);
            let template = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        let now = Instant::now();
        Self { action, bar, lines: !quiet && !terminal, begun: now, told: now, counted: 0 }
    }

    pub(crate) fn step(&mut self, progress: Progress) -> ControlFlow<()> {
        self.at(progress.done, progress.total)
    }

    /// Counts one session of a pass that reports no progress itself.
    pub(crate) fn count(&mut self) -> ControlFlow<()> {
        self.counted += 1;
        match self.counted % COUNTED_EVERY {
            0 => self.at(self.counted, None),
            _ => flow(),
        }
    }

    /// Shows a step of a salvage under the step's own name.
    pub(crate) fn salvage(&mut self, progress: SalvageProgress) -> ControlFlow<()> {
        let action = match progress.step {
            SalvageStep::Copying => "salvage: bytes copied",
            SalvageStep::Sessions => "salvage: sessions",
            _ => "salvage: bytes searched",
        };
        if action != self.action {
            self.action = action;
            if let Some(bar) = &self.bar {
                bar.unset_length();
                bar.reset();
                bar.set_message(action);
            }
        }
        self.at(progress.done, progress.total)
    }

    /// Shows how much is done, of how much if that is known.
    pub(crate) fn at(&mut self, done: u64, total: Option<u64>) -> ControlFlow<()> {
        if let Some(bar) = &self.bar {
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar.set_position(done);
        } else if self.lines && self.told.elapsed() >= LINE_EVERY {
            self.told = Instant::now();
            let rate = done.checked_div(self.begun.elapsed().as_secs()).unwrap_or(done);
            complain(match total {
                Some(total) => format!("{}: {done} of {total}, {rate} per second", self.action),
                // A restore first copies the backup.
                None if done == 0 => {
                    format!("{}: {} s so far", self.action, self.begun.elapsed().as_secs())
                }
                None => format!("{}: {done}, {rate} per second", self.action),
            });
        }
        flow()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
