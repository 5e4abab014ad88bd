//! How far long work has come: a bar on a terminal, a line every few seconds elsewhere; and its end
//! by Ctrl-C, in order.

use std::io;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sessile::admin::Progress;

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
        if let Some(bar) = &self.bar {
            if let Some(total) = progress.total {
                bar.set_length(total);
            }
            bar.set_position(progress.done);
        } else if self.lines && self.told.elapsed() >= LINE_EVERY {
            self.told = Instant::now();
            match progress.total {
                Some(total) => eprintln!("{}: {} of {total}", self.action, progress.done),
                None => eprintln!("{}: {}", self.action, progress.done),
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
