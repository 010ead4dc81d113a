//! Draws the screen.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};

use super::Screen;
use crate::data::{Conversation, Facts};
use crate::keys::Action;
use crate::log::Window;
use crate::pen::{Pen, Row, lines, piece};
use crate::theme::Ink;
use crate::wrap::wrap;
use crate::{lists, popup, status};

/// Columns and rows below which nothing can be read and typed.
const LEAST: (u16, u16) = (40, 10);

impl Screen {
    /// What an empty line says.
    fn hint(&self) -> String {
        let does = |action, words: &str| match self.key_of(action) {
            "" => None,
            key => Some(format!("{key} {words}")),
        };
        let keys = [does(Action::Help, "lists keys"), does(Action::Switch, "goes elsewhere")];
        let keys: Vec<String> = keys.into_iter().flatten().collect();
        let keys = if keys.is_empty() { "/help lists them".to_owned() } else { keys.join(", ") };
        format!("a message, or /command; {keys}")
    }

    /// Draws it into a frame.
    pub fn draw(&self, facts: &Facts, frame: &mut Frame<'_>) {
        let screen = frame.area();
        if screen.width < LEAST.0 || screen.height < LEAST.1 {
            return self.draw_too_small(frame);
        }
        let areas = self.areas_in(screen, facts);
        let mut pen = Pen::new(frame.buffer_mut(), &self.theme);
        let open = facts.conversation(&self.open);
        lists::draw_list(&mut pen, areas.list, facts, &self.open);
        lists::draw_members(&mut pen, areas.members, &facts.members);
        self.draw_title(&mut pen, areas.title, open, facts);
        let below = self.draw_log(&mut pen, areas.log);
        // Where there is no title, what is to be read once stands here.
        let notice = self.notice.as_deref().filter(|_| areas.title.is_empty());
        let looked = status::Looked { open, below, zone: &self.zone, notice };
        pen.fill(areas.status, Ink::Bar);
        pen.row(areas.status, &status::line(facts, &looked, usize::from(areas.status.width)));
        let mut cursor = self.draw_composer(&mut pen, screen, areas.composer, facts.is_veiled);
        if let Some(popup) = &self.popup {
            let inside = popup::draw(&mut pen, screen, popup, (facts, &self.keys));
            cursor = inside.or(cursor.filter(|_| popup.is_prompt(screen)));
        }
        if let Some(cursor) = cursor.filter(|cursor| screen.contains(*cursor)) {
            frame.set_cursor_position(cursor);
        }
    }

    /// Says that there is no room.
    fn draw_too_small(&self, frame: &mut Frame<'_>) {
        let Rect { x, y, width, height } = frame.area();
        let words = format!("too small: {width}x{height}, needs {}x{}", LEAST.0, LEAST.1);
        let cells = usize::from(width);
        let rows: Vec<Row> = wrap(&words, cells, cells)
            .into_iter()
            .map(|part| vec![piece(part, Ink::Heading)])
            .collect();
        let above = usize::from(height).saturating_sub(rows.len()) / 2;
        let above = u16::try_from(above).unwrap_or(0);
        let area = Rect { x, y: y + above, width, height: height - above };
        Pen::new(frame.buffer_mut(), &self.theme).rows(area, &rows);
    }

    /// Which conversation it is and what it is about, or something to be read once.
    fn draw_title(
        &self,
        pen: &mut Pen<'_>,
        area: Rect,
        open: Option<&Conversation>,
        facts: &Facts,
    ) {
        pen.fill(area, Ink::Bar);
        let title = match (&self.notice, open) {
            (Some(notice), _) => notice.clone(),
            (None, Some(open)) if facts.topic.is_empty() => open.name.clone(),
            (None, Some(open)) => format!("{}: {}", open.name, facts.topic),
            (None, None) => String::new(),
        };
        pen.row(area, &[piece(title, Ink::Bar)]);
    }

    /// Draws the log; says how many lines are below it.
    fn draw_log(&self, pen: &mut Pen<'_>, area: Rect) -> Option<usize> {
        let log = self.logs.get(&self.open)?;
        let (cells, rows) = (usize::from(area.width), usize::from(area.height));
        let visible = log.visible(&Window {
            cells,
            rows,
            zone: &self.zone,
            is_timed: self.is_timed,
            unfold: self.key_of(Action::Unfold),
        });
        // New lines come at the bottom, also where there are few.
        let unused = rows.saturating_sub(visible.rows.len());
        let unused = u16::try_from(unused).unwrap_or(0);
        pen.rows(Rect { y: area.y + unused, height: area.height - unused, ..area }, &visible.rows);
        log.is_scrolled().then_some(visible.below)
    }

    /// Draws what is typed, or what is asked for in its place; says where the cursor is.
    fn draw_composer(
        &self,
        pen: &mut Pen<'_>,
        screen: Rect,
        area: Rect,
        is_veiled: bool,
    ) -> Option<Position> {
        let at = |x: usize, y: usize| {
            let x = u16::try_from(x).ok()?.checked_add(area.x)?;
            Some(Position { x, y: u16::try_from(y).ok()?.checked_add(area.y)? })
        };
        if let Some((rows, (x, y))) =
            self.popup.as_ref().and_then(|popup| popup::prompt(popup, screen))
        {
            // The row of the cursor stays in sight.
            let first = (y + 1).saturating_sub(usize::from(area.height));
            pen.rows(area, rows.get(first..).unwrap_or_default());
            return at(x, y - first);
        }
        let typed = self.composer.typed(usize::from(area.width));
        // A screen may be lower than what is typed.
        let room = usize::from(area.height).max(1);
        let first = (typed.cursor.1 + 1).saturating_sub(room);
        let sign = if is_veiled { "~ " } else { "> " };
        let rows = typed.rows.iter().enumerate().skip(first).map(|(number, row)| -> Row {
            let sign = if number == 0 { sign } else { "  " };
            vec![piece(sign, Ink::Heading), piece(row.as_str(), Ink::Text)]
        });
        for (row, line) in rows.zip(lines(area)) {
            pen.row(line, &row);
        }
        if self.composer.is_empty() {
            pen.put((area.x + 2, area.y), area.width.saturating_sub(2), &self.hint(), Ink::Faint);
        }
        at(typed.cursor.0 + 2, typed.cursor.1 - first)
    }
}
