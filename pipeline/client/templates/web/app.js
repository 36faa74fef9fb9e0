// The page: classifies the photograph that is chosen, or each frame of the camera.

import { Classifier } from "./classifier.js";

const $ = (id) => document.getElementById(id);
const classifier = await Classifier.open().catch(tell);
if (classifier) $("answer").textContent = "Choose a photograph, or start the camera.";

$("file").addEventListener("change", (event) => show(event.target.files[0]));
$("camera").addEventListener("click", async () => {
  const video = $("video");
  try {
    // The camera needs https, or localhost.
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    video.hidden = false;
    await video.play();
  } catch (error) {
    tell(error);
    return;
  }
  const next = async () => {
    await show(video);
    requestAnimationFrame(next);
  };
  next();
});

async function show(image) {
  try {
    const { label, probability, accepted } = await classifier.classify(image);
    $("answer").textContent = `${accepted === false ? "unsure: " : ""}${label} ${probability.toFixed(3)}`;
    $("answer").dataset.frames = Number($("answer").dataset.frames ?? 0) + 1;
  } catch (error) {
    tell(error);
  }
}

function tell(error) {
  $("answer").textContent = `Error: ${error.message}`;
}
