//! How far long work has come: a bar on a terminal, a line every few seconds elsewhere; and its end
//! by Ctrl-C, in order.

use std::io;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sessile::admin::Progress;
use sessile::{SalvageProgress, SalvageStep};

use crate::failure::INTERRUPTED;

static INTERRUPTED_BY_USER: AtomicBool = AtomicBool::new(false);
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The first signal ends the work at its next step, so that nothing half-written stays; the second
/// one ends the program.
pub(crate) fn listen_for_interrupts() {
    let set = ctrlc::set_handler(|| {
        if INTERRUPTED_BY_USER.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    });
    if let Err(error) = set {
        eprintln!("sessile: Ctrl-C will end this at once: {error}");
    }
}

pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED_BY_USER.load(Ordering::SeqCst)
}

pub(crate) struct Meter {
    action: &'static str,
    bar: Option<ProgressBar>,
    lines: bool,
    told: Instant,
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
        Self { action, bar, lines: !quiet && !terminal, told: Instant::now() }
    }

    pub(crate) fn step(&mut self, progress: Progress) -> ControlFlow<()> {
        self.at(progress.done, progress.total)
    }

    /// A step of a salvage, by its own name.
    pub(crate) fn salvage(&mut self, progress: SalvageProgress) -> ControlFlow<()> {
        let action = match progress.step {
            SalvageStep::Copying => "salvage: bytes copied",
            SalvageStep::Sessions => "salvage: sessions",
            _ => "salvage: bytes looked through",
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

    fn at(&mut self, done: u64, total: Option<u64>) -> ControlFlow<()> {
        if let Some(bar) = &self.bar {
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar.set_position(done);
        } else if self.lines && self.told.elapsed() >= LINE_EVERY {
            self.told = Instant::now();
            match total {
                Some(total) => eprintln!("{}: {done} of {total}", self.action),
                None => eprintln!("{}: {done}", self.action),
            }
        }
        match is_interrupted() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
