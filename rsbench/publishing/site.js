
// A table's rows are chosen by the columns of words, unless a heading is marked as free text, and by these. Rows that a
// choice leaves out stay so whatever is typed into the field beside it.
const CHOSEN_FROM = ["origin", "verdict"];
const MOST_CHOICES = 40;

function chooser(table, heading) {
  const texts = new Set([...table.tBodies[0].rows].map((row) => row.cells[heading.cellIndex].textContent));
  if (texts.size < 2 || texts.size > MOST_CHOICES) return null;
  const name = heading.textContent.trim();
  const select = document.createElement("select");
  select.dataset.column = heading.cellIndex;
  select.setAttribute("aria-label", `choose by ${name}`);
  select.append(new Option(`any ${name}`, ""));
  for (const text of [...texts].sort()) select.append(new Option(text, `=${text}`));
  return select;
}

function leaveOut(sheet) {
  const chosen = [...sheet.querySelectorAll("select")].filter((select) => select.value);
  for (const row of sheet.querySelectorAll("tbody tr")) {
    const fits = (select) => `=${row.cells[select.dataset.column].textContent}` === select.value;
    row.toggleAttribute("data-left-out", !chosen.every(fits));
  }
}

for (const sheet of document.querySelectorAll(".sheet:has(input[type=search])")) {
  const table = sheet.querySelector("table");
  for (const heading of table.querySelectorAll("th")) {
    const words = "words" in heading.dataset && !("free" in heading.dataset);
    const offered = words || CHOSEN_FROM.includes(heading.textContent.trim());
    const select = offered ? chooser(table, heading) : null;
    if (select) sheet.querySelector(".tools").append(select);
  }
}
document.addEventListener("change", (event) => {
  if (event.target.matches(".tools select")) leaveOut(event.target.closest(".sheet"));
});
