"use strict";

// A cell's first number, so that "61.2 ± 0.4" sorts by 61.2; a cell without one ("–") is NaN and stands last.
const number = (text) => parseFloat(text.replace(/,/g, ""));

function compare(one, other, words) {
  if (words) return one.localeCompare(other, "en", { numeric: true });
  const [left, right] = [number(one), number(other)];
  if (Number.isNaN(left) || Number.isNaN(right)) return 0;
  return left - right;
}

function sort(heading) {
  const table = heading.closest("table");
  const column = heading.cellIndex;
  const words = "words" in heading.dataset;
  // Numbers are asked for from the largest down, words from A.
  const first = words ? "ascending" : "descending";
  const second = words ? "descending" : "ascending";
  const order = heading.getAttribute("aria-sort") === first ? second : first;
  const sign = order === "ascending" ? 1 : -1;
  const text = (row) => row.cells[column].textContent;
  const missing = (row) => !words && Number.isNaN(number(text(row)));
  const rows = [...table.tBodies[0].rows].sort(
    (one, other) => missing(one) - missing(other) || sign * compare(text(one), text(other), words),
  );
  table.tBodies[0].append(...rows);
  for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", order);
}

// Rows stay that hold every word of the field, each in any cell of a column that is shown.
function filter(field) {
  const sheet = field.closest(".sheet");
  const wanted = field.value.toLowerCase().split(/\s+/);
  const shown = (cell) => !(sheet.classList.contains("brief") && cell.classList.contains("more"));
  for (const row of sheet.querySelectorAll("tbody tr")) {
    const text = [...row.cells].filter(shown).map((cell) => cell.textContent.toLowerCase()).join("\n");
    row.hidden = !wanted.every((word) => text.includes(word));
  }
}

// A table says that it goes on sideways where it does, at whatever width and with whatever columns.
const widths = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const box = target.closest(".scroll");
    box.previousElementSibling.hidden = box.scrollWidth <= box.clientWidth;
  }
});
for (const box of document.querySelectorAll(".scroll")) {
  widths.observe(box);
  widths.observe(box.querySelector("table"));
}

document.addEventListener("click", (event) => {
  const heading = event.target.closest("th");
  if (heading) sort(heading);
});
document.addEventListener("input", (event) => {
  if (event.target.type === "search") filter(event.target);
  if (event.target.matches(".all-columns")) {
    event.target.closest(".sheet").classList.toggle("brief", !event.target.checked);
  }
});
