//! The screens for failures, each with a sentence and a button.

use eframe::egui::Ui;
use notes::rescue::{STEPS, Step, Summary};
use notes::state::{Event, Offer};
use notes::words::{Trouble, counted};

use crate::window::Wish;
use crate::window::parts::{Parts, card};

pub(crate) fn damaged(
    ui: &mut Ui,
    parts: &mut Parts,
    trouble: &Trouble,
    consent: bool,
    offer: Offer,
    busy: bool,
) -> Option<Wish> {
    let (title, text, agreement, button) = match offer {
        Offer::Whole => (
            "Your notes are damaged",
            "The program can copy the intact notes to a new file. Damaged ones are missing there, \
             and some users may have to log in again. The damaged file stays beside the new one. \
             If you have a backup, close this window and put that in its place instead.",
            "Yes, copy the intact notes",
            "Rescue my notes",
        ),
        Offer::OlderStates => (
            "Only older states can be rescued",
            "The program can copy what it finds in the rest of the file. Your last changes may be \
             missing, and logins that were ended come back: log out everywhere else afterwards. \
             The damaged file stays beside the new one.",
            "Yes, copy older states, too",
            "Rescue older states",
        ),
        Offer::Empty => (
            "Nothing could be rescued",
            "The program can begin with an empty file. The damaged one stays beside it, for a \
             backup or for somebody who can look into it.",
            "Yes, begin with nothing",
            "Begin with an empty file",
        ),
    };
    parts.heading(ui, "Notes");
    card(ui, |ui| {
        parts.title(ui, title);
        parts.text(ui, "sentence", &trouble.sentence);
        parts.text(ui, "offer", text);
        let mut agreed = consent;
        let changed = parts.checkbox(ui, "consent", agreement, &mut agreed);
        ui.add_space(6.0);
        let wish = ui.horizontal(|ui| {
            let goes = parts.main_button(ui, "rescue", button, consent && !busy);
            let quit = parts.button(ui, "quit", "Close this window", !busy);
            match (goes, quit, changed) {
                (true, ..) => Some(Wish::Event(Event::Agreed)),
                (_, true, _) => Some(Wish::Quit),
                (.., true) => Some(Wish::Event(Event::Consent(agreed))),
                _ => None,
            }
        });
        parts.detail(ui, &trouble.detail);
        wish.inner
    })
}

pub(crate) fn rescuing(ui: &mut Ui, parts: &mut Parts, step: &Step) {
    parts.heading(ui, "Notes");
    card(ui, |ui| {
        parts.title(ui, "Rescuing your notes");
        parts.text(ui, "step", &format!("Step {} of {STEPS}: {}", step.number, step.what));
        parts.bar(ui, "rescue-bar", step.overall());
        let safe = "Closing this window now is no danger: the damaged file stays as it is until \
                    the new one is finished.";
        parts.faint(ui, "safe", safe);
    });
}

pub(crate) fn rescued(ui: &mut Ui, parts: &mut Parts, summary: &Summary) -> Option<Event> {
    parts.heading(ui, "Notes");
    card(ui, |ui| {
        parts.title(ui, "Your notes are rescued");
        let (kept, lost) = (counted(summary.kept, "login"), counted(summary.lost, "login"));
        let text = format!("Kept with their notes: {kept}. Known to be lost: {lost}.");
        parts.text(ui, "summary", &text);
        let name = summary.aside.file_name().unwrap_or_default().to_string_lossy();
        let aside = format!("The damaged file is now {name}. Delete it when you need it no more.");
        parts.faint(ui, "aside", &aside);
        ui.add_space(6.0);
        parts.main_button(ui, "go-on", "Go on", true).then_some(Event::GoOn)
    })
}

pub(crate) fn unreadable(
    ui: &mut Ui,
    parts: &mut Parts,
    trouble: &Trouble,
    busy: bool,
) -> Option<Wish> {
    parts.heading(ui, "Notes");
    card(ui, |ui| {
        parts.title(ui, "Your notes cannot be read");
        parts.text(ui, "sentence", &trouble.sentence);
        let offer = "If you log in again, you begin with no notes, and this program forgets the \
                     damaged login. If you have a backup, close this window and put that in the \
                     file's place instead.";
        parts.text(ui, "offer", offer);
        ui.add_space(6.0);
        let wish = ui.horizontal(|ui| {
            let again = parts.main_button(ui, "log-in-again", "Log in again", !busy);
            let quit = parts.button(ui, "quit", "Close this window", !busy);
            match again {
                true => Some(Wish::Event(Event::LogInAgain)),
                false => quit.then_some(Wish::Quit),
            }
        });
        parts.detail(ui, &trouble.detail);
        wish.inner
    })
}

pub(crate) fn full(
    ui: &mut Ui,
    parts: &mut Parts,
    trouble: &Trouble,
    can_go_back: bool,
) -> Option<Wish> {
    let leave = match can_go_back {
        true => ("back", "Not now", Wish::Event(Event::Back)),
        false => ("quit", "Close this window", Wish::Quit),
    };
    with_two_buttons(ui, parts, "The disk is full", trouble, leave)
}

pub(crate) fn failed(ui: &mut Ui, parts: &mut Parts, trouble: &Trouble) -> Option<Wish> {
    let leave = ("quit", "Close this window", Wish::Quit);
    with_two_buttons(ui, parts, "Something is wrong", trouble, leave)
}

fn with_two_buttons(
    ui: &mut Ui,
    parts: &mut Parts,
    title: &str,
    trouble: &Trouble,
    (name, text, wish): (&str, &str, Wish),
) -> Option<Wish> {
    parts.heading(ui, "Notes");
    card(ui, |ui| {
        parts.title(ui, title);
        parts.text(ui, "sentence", &trouble.sentence);
        ui.add_space(6.0);
        let wish = ui.horizontal(|ui| {
            let again = parts.main_button(ui, "try-again", "Try again", true);
            let leaves = parts.button(ui, name, text, true);
            match again {
                true => Some(Wish::Event(Event::TryAgain)),
                false => leaves.then_some(wish),
            }
        });
        parts.detail(ui, &trouble.detail);
        wish.inner
    })
}
