//! The window: takes the worker's reports, draws the screen, and passes the user's actions on.
//!
//! Invariant: the window never blocks. A frame is drawn from the model alone.

mod entry;
mod home;
mod parts;
mod script;
mod trouble;

use std::path::Path;

use eframe::egui;
use notes::state::{Event, Model, Screen};
use notes::worker::Link;

use crate::window::entry::LoginForm;
use crate::window::parts::Parts;
use crate::window::script::Script;

const TITLE: &str = "Notes";
const SIZE: [f32; 2] = [560.0, 680.0];
/// The width of the one column, in points.
const COLUMN: f32 = 480.0;

/// What a screen may ask of the window.
pub(crate) enum Wish {
    Event(Event),
    Quit,
}

struct Window {
    model: Model,
    link: Link,
    form: LoginForm,
    script: Option<Script>,
}

/// Shows the window until its user closes it, and closes the store.
pub(crate) fn show(folder: &Path, computer: String, script: Option<&Path>) -> Result<(), String> {
    let script = script.map(Script::create).transpose().map_err(|error| error.to_string())?;
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title(TITLE)
            .with_app_id("sessile-example-desktop")
            .with_inner_size(SIZE)
            .with_min_inner_size([COLUMN + 2.0 * parts::MARGIN, 400.0]),
        ..Default::default()
    };
    let folder = folder.to_path_buf();
    let create: eframe::AppCreator<'_> = Box::new(move |creation| {
        parts::set_style(&creation.egui_ctx);
        let context = creation.egui_ctx.clone();
        let link = Link::start(&folder, computer, move || context.request_repaint())?;
        let mut window =
            Window { model: Model::default(), link, form: LoginForm::default(), script };
        window.hand_on(Event::Start);
        Ok(Box::new(window))
    });
    eframe::run_native(TITLE, options, create).map_err(|error| format!("no window: {error}"))
}

impl Window {
    fn hand_on(&mut self, event: Event) {
        if let Some(job) = self.model.handle(event) {
            self.link.send(job);
        }
    }

    fn draw(&mut self, ui: &mut egui::Ui, parts: &mut Parts) -> Option<Wish> {
        let Self { model, form, .. } = self;
        let busy = model.is_busy();
        parts.notice(ui, model.notice.as_deref());
        let event = |event: Option<Event>| event.map(Wish::Event);
        match &model.screen {
            Screen::Starting { recovered } => {
                entry::starting(ui, parts, *recovered);
                None
            }
            Screen::Held { waiting, trouble } => entry::held(ui, parts, *waiting, trouble),
            Screen::Login => event(entry::login(ui, parts, form, busy)),
            Screen::Home(home) => {
                // The next user to log in gets an empty form, which keeps no login unasked.
                *form = LoginForm::default();
                event(home::show(ui, parts, home, &mut model.draft, busy))
            }
            Screen::Damaged { trouble, consent, offer } => {
                trouble::damaged(ui, parts, trouble, *consent, *offer, busy)
            }
            Screen::Rescuing(step) => {
                trouble::rescuing(ui, parts, step);
                None
            }
            Screen::Rescued(summary) => event(trouble::rescued(ui, parts, summary)),
            Screen::Unreadable(trouble) => trouble::unreadable(ui, parts, trouble, busy),
            Screen::Full { trouble, back, .. } => {
                trouble::full(ui, parts, trouble, !matches!(**back, Screen::Starting { .. }))
            }
            Screen::Failed(trouble) => trouble::failed(ui, parts, trouble),
        }
    }
}

impl eframe::App for Window {
    fn update(&mut self, context: &egui::Context, _: &mut eframe::Frame) {
        while let Some(report) = self.link.report() {
            if let Some(job) = self.model.take(report) {
                self.link.send(job);
            }
        }
        let mut parts = Parts::default();
        let wish = egui::CentralPanel::default()
            .frame(parts::background())
            .show(context, |ui| {
                egui::ScrollArea::vertical()
                    .auto_shrink(false)
                    .show(ui, |ui| parts::column(ui, COLUMN, |ui| self.draw(ui, &mut parts)))
            })
            .inner
            .inner;
        if let Some(script) = &mut self.script {
            script.note(context, &self.model, &parts);
        }
        let by_key =
            context.input_mut(|input| input.consume_key(egui::Modifiers::COMMAND, egui::Key::Q));
        match if by_key { Some(Wish::Quit) } else { wish } {
            Some(Wish::Event(event)) => {
                self.hand_on(event);
                context.request_repaint();
            }
            Some(Wish::Quit) => context.send_viewport_cmd(egui::ViewportCommand::Close),
            None => {}
        }
    }

    fn on_exit(&mut self, _: Option<&eframe::glow::Context>) {
        self.link.close();
    }
}

/// The name of a screen, for the script and the tests.
pub(crate) const fn name_of(screen: &Screen) -> &'static str {
    match screen {
        Screen::Starting { .. } => "starting",
        Screen::Held { .. } => "held",
        Screen::Damaged { .. } => "damaged",
        Screen::Rescuing(_) => "rescuing",
        Screen::Rescued(_) => "rescued",
        Screen::Login => "login",
        Screen::Home(_) => "home",
        Screen::Unreadable(_) => "unreadable",
        Screen::Full { .. } => "full",
        Screen::Failed(_) => "failed",
    }
}
