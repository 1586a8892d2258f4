// Fills the number without asking for the page again. Everything works without this.
const field = document.querySelector("input[name=number]");
for (const button of document.querySelectorAll("button[data-number]"))
  button.addEventListener("click", (event) => {
    event.preventDefault();
    field.value = button.dataset.number;
    field.focus();
  });
