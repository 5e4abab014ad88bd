//! The screens before the login.

use eframe::egui::Ui;
use notes::accounts::Password;
use notes::kept::Place;
use notes::state::{Event, Job};
use notes::words::Trouble;

use crate::window::Wish;
use crate::window::parts::{Parts, card};

/// The contents of the login form.
pub(crate) struct LoginForm {
    name: String,
    password: String,
    keep: bool,
    place: Place,
    is_begun: bool,
}

impl Default for LoginForm {
    fn default() -> Self {
        let (name, password) = (String::new(), String::new());
        Self { name, password, keep: false, place: Place::File, is_begun: false }
    }
}

pub(crate) fn starting(ui: &mut Ui, parts: &mut Parts, recovered: Option<f64>) {
    parts.heading(ui, "Notes");
    card(ui, |ui| match recovered {
        None => parts.text(ui, "starting", "Opening your notes."),
        Some(done) => {
            let text = "The program was not closed the last time. Checking the file.";
            parts.text(ui, "starting", text);
            #[expect(clippy::cast_possible_truncation, reason = "it is between 0 and 1")]
            parts.bar(ui, "recovery", done as f32);
        }
    });
}

pub(crate) fn held(
    ui: &mut Ui,
    parts: &mut Parts,
    waiting: bool,
    trouble: &Trouble,
) -> Option<Wish> {
    parts.heading(ui, "Notes");
    card(ui, |ui| {
        parts.title(ui, "Your notes are open already");
        parts.text(ui, "sentence", &trouble.sentence);
        let advice = match waiting {
            true => "Waiting. This window goes on as soon as the other one is closed.",
            false => "Go on in the other window, or close it there and have this one wait for it.",
        };
        parts.text(ui, "advice", advice);
        ui.add_space(6.0);
        let wish = ui.horizontal(|ui| {
            let event = match waiting {
                true => parts
                    .button(ui, "stop-waiting", "Stop waiting", true)
                    .then_some(Event::StopWaiting),
                false => parts.main_button(ui, "wait", "Wait for it", true).then_some(Event::Wait),
            };
            let quit = parts.button(ui, "quit", "Close this window", true);
            if quit { Some(Wish::Quit) } else { event.map(Wish::Event) }
        });
        parts.detail(ui, &trouble.detail);
        wish.inner
    })
}

pub(crate) fn login(
    ui: &mut Ui,
    parts: &mut Parts,
    form: &mut LoginForm,
    busy: bool,
) -> Option<Event> {
    parts.heading(ui, "Notes");
    card(ui, |ui| {
        parts.title(ui, "Log in");
        parts.faint(ui, "hint", "This example knows ann (correct horse) and bob (battery staple).");
        parts.field(ui, ("name", "Name"), &mut form.name, false);
        if !std::mem::replace(&mut form.is_begun, true) {
            Parts::focus(ui, "name");
        }
        let entered = parts.field(ui, ("password", "Password"), &mut form.password, true);
        parts.checkbox(ui, "keep", "Keep me logged in", &mut form.keep);
        if form.keep {
            ui.indent("places", |ui| {
                let file = ("place-file", "in a file that only you can read");
                parts.radio(ui, file, &mut form.place, Place::File);
                if Place::HAS_KEYRING {
                    let keyring = ("place-keyring", "in the system's keyring");
                    parts.radio(ui, keyring, &mut form.place, Place::Keyring);
                }
            });
        }
        ui.add_space(6.0);
        let text = if busy { "Logging in" } else { "Log in" };
        let clicked = parts.main_button(ui, "log-in", text, !busy);
        (!busy && (clicked || entered)).then(|| {
            let place = if form.keep { form.place } else { Place::Nowhere };
            let password = Password::new(std::mem::take(&mut form.password));
            Event::Do(Job::LogIn { name: form.name.trim().to_owned(), password, place })
        })
    })
}
