from letterbox.http import serve

serve()
