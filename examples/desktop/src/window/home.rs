//! The screen of a logged-in user: notes, and the other computers.

use std::time::SystemTime;

use eframe::egui::{Align, Layout, Ui};
use notes::kept::Place;
use notes::state::{Event, Home, Job, Other};
use notes::words;

use crate::window::parts::{Parts, card};

pub(crate) fn show(
    ui: &mut Ui,
    parts: &mut Parts,
    home: &Home,
    draft: &mut String,
    busy: bool,
) -> Option<Event> {
    let mut job = None;
    ui.horizontal(|ui| {
        parts.heading(ui, "Notes");
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if parts.button(ui, "log-out", "Log out", !busy) {
                job = Some(Job::LogOut);
            }
            parts.text(ui, "user", &home.user);
        });
    });
    card(ui, |ui| job = job.take().or(notes_of(ui, parts, home, draft, busy)));
    card(ui, |ui| job = job.take().or(computers_of(ui, parts, home, busy)));
    job.map(Event::Do)
}

fn notes_of(
    ui: &mut Ui,
    parts: &mut Parts,
    home: &Home,
    draft: &mut String,
    busy: bool,
) -> Option<Job> {
    parts.title(ui, "Your notes");
    let mut saves = false;
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            saves = parts.main_button(ui, "save", "Save", !busy);
            saves |= parts.field(ui, ("draft", "A note"), draft, false);
        });
    });
    if home.notes.is_empty() {
        parts.faint(ui, "no-notes", "None yet.");
    }
    for note in &home.notes {
        parts.text(ui, "note", note);
    }
    saves.then(|| Job::AddNote(draft.trim().to_owned()))
}

fn computers_of(ui: &mut Ui, parts: &mut Parts, home: &Home, busy: bool) -> Option<Job> {
    let mut job = None;
    ui.horizontal(|ui| {
        parts.title(ui, "Your computers");
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if parts.button(ui, "refresh", "Look again", !busy) {
                job = Some(Job::Refresh);
            }
        });
    });
    parts.text(ui, "this-computer", &format!("{} (this one)", home.computer));
    parts.faint(ui, "place", where_kept(home.place));
    ui.separator();
    if home.others.is_empty() {
        parts.faint(ui, "no-others", "You are logged in nowhere else.");
    }
    let now = SystemTime::now();
    for other in &home.others {
        ui.horizontal(|ui| {
            ui.vertical(|ui| {
                ui.spacing_mut().item_spacing.y = 0.0;
                parts.text(ui, "other", &other.computer);
                let ago = words::ago(other.last_active, now);
                parts.faint(ui, "last-active", &format!("last active {ago}"));
            });
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if parts.button(ui, &end_of(other), "Log out there", !busy) {
                    job = Some(Job::EndOne(other.key));
                }
            });
        });
    }
    if !home.others.is_empty() {
        ui.add_space(4.0);
        if parts.button(ui, "end-others", "Log out everywhere else", !busy) {
            job = Some(Job::EndOthers);
        }
    }
    job
}

fn end_of(other: &Other) -> String {
    format!("end {}", other.computer)
}

const fn where_kept(place: Place) -> &'static str {
    match place {
        Place::Nowhere => "Your login ends with this window.",
        Place::File => "Your login is kept in a file that only you can read.",
        Place::Keyring => "Your login is kept in the system's keyring.",
    }
}
