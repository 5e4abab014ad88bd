//! Texts, buttons and fields, and their style. Each is recorded with its place on the screen.

use eframe::egui::text_edit::TextEditState;
use eframe::egui::{
    self, Button, Color32, CornerRadius, FontId, Frame, Id, Margin, Rect, RichText, Sense, Stroke,
    TextEdit, TextStyle, Ui, UiBuilder,
};

/// The margin left and right of the column.
pub(crate) const MARGIN: f32 = 24.0;

const PAPER: Color32 = Color32::WHITE;
const GROUND: Color32 = Color32::from_rgb(0xF1, 0xF4, 0xF5);
const INK: Color32 = Color32::from_rgb(0x1B, 0x26, 0x2C);
const FAINT: Color32 = Color32::from_rgb(0x5C, 0x6B, 0x73);
const LINE: Color32 = Color32::from_rgb(0xD3, 0xDC, 0xE0);
const EDGE: Color32 = Color32::from_rgb(0xA9, 0xB8, 0xBF);
const ACCENT: Color32 = Color32::from_rgb(0x0B, 0x6E, 0x6A);
const NOTICE: Color32 = Color32::from_rgb(0xE2, 0xF1, 0xEF);
const ROUND: CornerRadius = CornerRadius::same(6);

/// A part of the screen that can be clicked or read, and its place.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) rect: Rect,
    pub(crate) enabled: bool,
}

/// The parts that one frame has drawn.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) all: Vec<Part>,
}

/// Sets the colours and sizes of the window.
pub(crate) fn set_style(context: &egui::Context) {
    context.set_theme(egui::Theme::Light);
    context.all_styles_mut(|style| {
        style.text_styles = [
            (TextStyle::Heading, FontId::proportional(26.0)),
            (TextStyle::Body, FontId::proportional(15.5)),
            (TextStyle::Button, FontId::proportional(15.5)),
            (TextStyle::Small, FontId::proportional(13.0)),
            (TextStyle::Monospace, FontId::monospace(13.0)),
        ]
        .into();
        style.spacing.item_spacing = egui::vec2(10.0, 10.0);
        style.spacing.button_padding = egui::vec2(14.0, 7.0);
        style.spacing.interact_size.y = 32.0;
        // A blinking caret would draw two frames a second while nothing else changes.
        style.visuals.text_cursor.blink = false;
        style.visuals.selection.bg_fill = ACCENT.gamma_multiply(0.35);
        style.visuals.selection.stroke = Stroke::new(1.5, ACCENT);
        style.visuals.extreme_bg_color = PAPER;
        style.visuals.widgets.noninteractive.fg_stroke.color = INK;
        for widget in [
            &mut style.visuals.widgets.inactive,
            &mut style.visuals.widgets.hovered,
            &mut style.visuals.widgets.active,
        ] {
            widget.bg_stroke = Stroke::new(1.0, EDGE);
            widget.fg_stroke = Stroke::new(1.5, INK);
            widget.bg_fill = PAPER;
            widget.weak_bg_fill = PAPER;
            widget.corner_radius = CornerRadius::same(4);
            widget.expansion = 0.0;
        }
        style.visuals.widgets.hovered.bg_stroke = Stroke::new(1.0, ACCENT);
    });
}

pub(crate) fn background() -> Frame {
    Frame::new().fill(GROUND)
}

/// A column in the middle of the window.
pub(crate) fn column<R>(ui: &mut Ui, width: f32, draw: impl FnOnce(&mut Ui) -> R) -> R {
    let room = ui.available_rect_before_wrap();
    let left = room.left() + ((room.width() - width) / 2.0).max(0.0);
    let top = room.top() + MARGIN;
    let place = Rect::from_min_size(egui::pos2(left, top), egui::vec2(width, room.height()));
    let inner = ui.scope_builder(UiBuilder::new().max_rect(place), |ui| {
        let result = draw(ui);
        ui.add_space(MARGIN);
        result
    });
    inner.inner
}

/// A white card around related parts.
pub(crate) fn card<R>(ui: &mut Ui, draw: impl FnOnce(&mut Ui) -> R) -> R {
    let frame = Frame::new()
        .fill(PAPER)
        .stroke(Stroke::new(1.0, LINE))
        .corner_radius(CornerRadius::same(8))
        .inner_margin(Margin::same(18));
    frame
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            draw(ui)
        })
        .inner
}

impl Parts {
    fn add(&mut self, name: &str, text: &str, rect: Rect, enabled: bool) {
        let (name, text) = (name.to_owned(), text.to_owned());
        self.all.push(Part { name, text, rect, enabled });
    }

    pub(crate) fn heading(&mut self, ui: &mut Ui, text: &str) {
        let shown = ui.heading(text);
        self.add("heading", text, shown.rect, true);
    }

    pub(crate) fn title(&mut self, ui: &mut Ui, text: &str) {
        let shown = ui.label(RichText::new(text).strong().size(17.0));
        self.add("title", text, shown.rect, true);
    }

    pub(crate) fn text(&mut self, ui: &mut Ui, name: &str, text: &str) {
        let shown = ui.label(text);
        self.add(name, text, shown.rect, true);
    }

    pub(crate) fn faint(&mut self, ui: &mut Ui, name: &str, text: &str) {
        let shown = ui.label(RichText::new(text).small().color(FAINT));
        self.add(name, text, shown.rect, true);
    }

    /// A notice about the last action, above everything else.
    pub(crate) fn notice(&mut self, ui: &mut Ui, text: Option<&str>) {
        let Some(text) = text else { return };
        let frame = Frame::new().fill(NOTICE).corner_radius(ROUND).inner_margin(Margin::same(12));
        frame.show(ui, |ui| {
            ui.set_width(ui.available_width());
            self.text(ui, "notice", text);
        });
        ui.add_space(4.0);
    }

    /// The button that most users want.
    pub(crate) fn main_button(&mut self, ui: &mut Ui, name: &str, text: &str, on: bool) -> bool {
        let label = RichText::new(text).color(PAPER).strong();
        self.clicked(ui, name, text, on, Button::new(label).fill(ACCENT).corner_radius(ROUND))
    }

    pub(crate) fn button(&mut self, ui: &mut Ui, name: &str, text: &str, on: bool) -> bool {
        self.clicked(ui, name, text, on, Button::new(text).corner_radius(ROUND))
    }

    fn clicked(&mut self, ui: &mut Ui, name: &str, text: &str, on: bool, it: Button<'_>) -> bool {
        let shown = ui.add_enabled(on, it);
        self.add(name, text, shown.rect, on);
        shown.clicked()
    }

    pub(crate) fn checkbox(&mut self, ui: &mut Ui, name: &str, text: &str, on: &mut bool) -> bool {
        let shown = ui.checkbox(on, text);
        // The place of the box itself does not depend on the text.
        self.add(name, text, shown.rect, true);
        shown.changed()
    }

    pub(crate) fn radio<T: PartialEq>(
        &mut self,
        ui: &mut Ui,
        (name, text): (&str, &str),
        chosen: &mut T,
        this: T,
    ) {
        let shown = ui.radio_value(chosen, this, text);
        self.add(name, text, shown.rect, true);
    }

    /// A field of one line, whose text is not recorded. Returns whether Enter was pressed.
    pub(crate) fn field(
        &mut self,
        ui: &mut Ui,
        (name, hint): (&str, &str),
        typed: &mut String,
        is_password: bool,
    ) -> bool {
        let (width, id) = (ui.available_width(), Id::new(name));
        if typed.is_empty()
            && let Some(mut edited) = TextEditState::load(ui.ctx(), id)
        {
            // An undo brings back no text that was sent, such as a password or another user's note.
            edited.clear_undoer();
        }
        let edit = TextEdit::singleline(typed)
            .id(id)
            .hint_text(hint)
            .password(is_password)
            .margin(Margin::symmetric(10, 8))
            .desired_width(width);
        let shown = ui.add(edit);
        self.add(name, hint, shown.rect, true);
        shown.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter))
    }

    /// Gives this field the keyboard.
    pub(crate) fn focus(ui: &Ui, name: &str) {
        ui.memory_mut(|memory| memory.request_focus(Id::new(name)));
    }

    /// A progress bar; `part` is between 0 and 1.
    pub(crate) fn bar(&mut self, ui: &mut Ui, name: &str, part: f32) {
        let room = egui::vec2(ui.available_width(), 12.0);
        let (rect, _) = ui.allocate_exact_size(room, Sense::hover());
        let mut done = rect;
        done.set_width(rect.width() * part.clamp(0.0, 1.0));
        ui.painter().rect_filled(rect, ROUND, LINE);
        ui.painter().rect_filled(done, ROUND, ACCENT);
        self.add(name, &format!("{:.0} %", part * 100.0), rect, true);
    }

    /// The error's own text, for support.
    pub(crate) fn detail(&mut self, ui: &mut Ui, detail: &str) {
        if !detail.is_empty() {
            self.faint(ui, "detail", &format!("Details for support: {detail}."));
        }
    }
}
