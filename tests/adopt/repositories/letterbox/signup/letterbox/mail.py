import os
import smtplib
from email.message import EmailMessage


def confirmation(address, link):
    message = EmailMessage()
    message['From'] = 'Letterbox <news@letterbox.example>'
    message['To'] = address
    message['Subject'] = 'Please confirm your subscription'
    message.set_content(f'Hello,\n\nplease open {link}\n\nNot you? Ignore this mail.\n')
    return message


def send(message):
    host, port = os.environ.get('SMTP_HOST', 'localhost'), int(os.environ.get('SMTP_PORT', 1025))
    with smtplib.SMTP(host, port, timeout=5) as smtp:
        smtp.send_message(message)
